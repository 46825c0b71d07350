use ostler_sdk::prelude::*;
struct Make;
impl Classifier for Make {
    fn info() -> Info {
        Info::new("make", "0", "x")
    }
    fn open(_: &Run, _: &str) -> Result<Self, String> { Ok(Self) }
    fn push(&mut self, batch: &Batch<'_>, verdicts: &mut Verdicts) {
        for line in batch.lines() {
            if line.starts_with(b"make: ***") { verdicts.set(line.index, Level::Error); }
        }
    }
}
export_classifier!(Make);
