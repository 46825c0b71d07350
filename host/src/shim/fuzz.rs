//! The fuzz target of the spool reader: see [`crate::fuzz`].

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use super::spool_format::{Count, FileHeader, FrameHeader, spool_path};
use super::wire::Fields;
use super::{ChunkKind, SpoolReader};
use crate::model::SpoolPosition;

/// A directory that is removed in the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("ostler-spool-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a directory below that of temporary files");
        Self(dir)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Two spool files whose headers hold foreign numbers and whose frames are foreign bytes, read from a foreign place:
/// what is handed out is never more than there is, and reading comes to an end.
pub fn fuzz_spool(bytes: &[u8]) {
    let _ = (FileHeader::decode(bytes), FrameHeader::decode(bytes), Count::from_bytes(bytes));
    let mut fields = Fields(bytes);
    let mut number = || fields.u64().unwrap_or_default();
    let bases = [number(), number()];
    let told = Count { bytes: number(), lines: number() };
    let taken = SpoolPosition { stdout: number(), stderr: number(), lines: 0 };
    let first = usize::from(fields.u16().unwrap_or_default());
    let (first, second) = fields.0.split_at(first.min(fields.0.len()));
    let scratch = Scratch::new();
    for (index, (base, frames)) in (0..).zip(bases.into_iter().zip([first, second])) {
        let mut file = FileHeader { index, base, told }.encode().to_vec();
        file.extend_from_slice(frames);
        std::fs::write(spool_path(&scratch.0, index), file).expect("a file in it");
    }
    let Ok(mut reader) = SpoolReader::open(&scratch.0, taken) else { return };
    let mut given = 0;
    while let Ok(Some(chunk)) = reader.next_chunk() {
        // A gap may stand before the first file, and between the two.
        given += 1;
        let length = if let ChunkKind::Data(data) = chunk.kind { data.len() } else { 0 };
        given += length;
        let end = chunk.start.checked_add(length as u64).expect("a place");
        assert!(end <= reader.position(), "{end} is beyond {}", reader.position());
        assert!(given <= bytes.len() + 2, "{given} out of {}", bytes.len());
    }
    reader.release(reader.position()).expect("files in it can be deleted");
}
