//! How durations are distributed, in 464 bytes: buckets whose width grows with what they hold.
//!
//! Each doubling from [`LEAST_MS`] on is cut into [`STEPS`] buckets of one width. What a bucket tells in place of all
//! that is in it is off by a twenty-first at most, which is less than 5 %; what is shorter than [`LEAST_MS`] is told as
//! half of that, and what is longer than about 14 minutes as that. Buckets of several histograms can be added up.

/// Buckets of each doubling.
const STEPS: usize = 10;
/// Doublings from `LEAST_MS` on.
const DOUBLINGS: usize = 23;
/// The shortest duration that is told from a shorter one, in milliseconds.
pub(super) const LEAST_MS: f64 = 0.1;
/// How many buckets there are: the first is for what is shorter than `LEAST_MS`.
pub(super) const BUCKETS: usize = 1 + DOUBLINGS * STEPS;

/// The place of a duration: few enough for a byte.
pub(super) type Bucket = u8;

/// Counts of durations. When a count would overflow all of them are halved, which leaves their proportions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Histogram([u16; BUCKETS]);

impl Default for Histogram {
    fn default() -> Self {
        Self([0; BUCKETS])
    }
}

/// Several histograms in one.
pub(super) struct Sum {
    counts: [u64; BUCKETS],
}

/// Returns the bucket of a duration; what is no number is taken for none at all.
pub(super) fn bucket(ms: f64) -> Bucket {
    let scaled = ms / LEAST_MS;
    if scaled.is_nan() || scaled < 1.0 {
        return 0;
    }
    // A number from 1 on is its mantissa times a power of two (IEEE 754, binary64).
    let bits = scaled.to_bits();
    let doubling = (bits >> 52) as usize - 1023;
    if doubling >= DOUBLINGS {
        return (BUCKETS - 1) as Bucket;
    }
    let mantissa = f64::from_bits(bits & ((1 << 52) - 1) | 1023 << 52);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a mantissa is at least 1 and less than 2"
    )]
    let step = ((mantissa - 1.0) * STEPS as f64) as usize;
    (1 + doubling * STEPS + step.min(STEPS - 1)) as Bucket
}

/// Returns what a bucket tells in place of all that is in it, in milliseconds: the number whose greatest relative
/// distance from any of them is least.
pub(super) fn milliseconds(bucket: Bucket) -> f64 {
    let Some(bucket) = usize::from(bucket).checked_sub(1) else { return LEAST_MS / 2.0 };
    let (doubling, step) = (bucket / STEPS, bucket % STEPS);
    let start = LEAST_MS * f64::from(1_u32 << doubling.min(31));
    let edge = |step: usize| start * (1.0 + step as f64 / STEPS as f64);
    let (low, high) = (edge(step), edge(step + 1));
    2.0 * low * high / (low + high)
}

impl Histogram {
    /// Counts a duration.
    pub(super) fn add(&mut self, bucket: Bucket) {
        let Some(count) = self.0.get(usize::from(bucket)).copied() else { return };
        if count == u16::MAX {
            self.0.iter_mut().for_each(|count| *count = count.div_ceil(2));
        }
        self.0[usize::from(bucket)] += 1;
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.0.fill(0);
    }
}

impl Default for Sum {
    fn default() -> Self {
        Self { counts: [0; BUCKETS] }
    }
}

impl Sum {
    /// Adds what a histogram has counted.
    pub(super) fn add(&mut self, histogram: &Histogram) {
        for (sum, count) in self.counts.iter_mut().zip(&histogram.0) {
            *sum += u64::from(*count);
        }
    }

    /// Returns the duration that `percent` of all are not longer than, in milliseconds; nothing when there is none.
    pub(super) fn percentile(&self, percent: u64) -> Option<f64> {
        let all: u64 = self.counts.iter().sum();
        // The nearest rank: the duration with this number when they are put in order.
        let rank = (all * percent).div_ceil(100).max(1);
        let mut passed = 0;
        let found = self.counts.iter().position(|count| {
            passed += count;
            passed >= rank
        })?;
        Some(milliseconds(found as Bucket))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Returns the percentile by sorting, as it is defined.
    fn exact(values: &[f64], percent: usize) -> f64 {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        sorted[(values.len() * percent).div_ceil(100).max(1) - 1]
    }

    fn durations() -> impl Strategy<Value = Vec<f64>> {
        // Spread evenly over all magnitudes: from a tenth of a millisecond to ten minutes.
        let any = (-1.0..5.77f64).prop_map(|exponent| 10f64.powf(exponent));
        let alike = (1.0..2.0f64).prop_map(|value| value * 80.0);
        prop::collection::vec(prop_oneof![any, alike], 1..400)
    }

    proptest! {
        #[test]
        fn percentiles_are_those_of_a_sort_within_five_percent(
            values in durations(), parts in 1..5usize, percent in 1..=100u64,
        ) {
            let mut histograms = vec![Histogram::default(); parts];
            for (index, value) in values.iter().enumerate() {
                histograms[index % parts].add(bucket(*value));
            }
            let mut sum = Sum::default();
            histograms.iter().for_each(|histogram| sum.add(histogram));
            let (told, exact) = (sum.percentile(percent).unwrap(), exact(&values, percent as usize));
            prop_assert!((told - exact).abs() <= 0.05 * exact, "{} for {}", told, exact);
        }

        #[test]
        fn longer_is_never_a_lower_bucket(one in 0.0..1e9f64, other in 0.0..1e9f64) {
            let (shorter, longer) = (one.min(other), one.max(other));
            prop_assert!(bucket(shorter) <= bucket(longer));
        }

        #[test]
        fn any_number_has_a_bucket(bits: u64) {
            let bucket = bucket(f64::from_bits(bits));
            prop_assert!(usize::from(bucket) < BUCKETS);
            prop_assert!(milliseconds(bucket) > 0.0);
        }
    }

    #[test]
    fn every_bucket_holds_what_it_tells() {
        for number in 0..BUCKETS {
            assert_eq!(usize::from(bucket(milliseconds(number as Bucket))), number);
        }
    }

    #[test]
    fn a_count_that_overflows_leaves_the_proportions() {
        let mut histogram = Histogram::default();
        for number in 0..300_000 {
            histogram.add(bucket(if number % 10 == 0 { 1000.0 } else { 1.0 }));
        }
        let mut sum = Sum::default();
        sum.add(&histogram);
        let near = |percent: u64, ms: f64| (sum.percentile(percent).unwrap() / ms - 1.0).abs() < 0.05;
        assert!(near(50, 1.0) && near(88, 1.0) && near(92, 1000.0));
    }

    #[test]
    fn nothing_has_no_percentile() {
        assert_eq!(Sum::default().percentile(95), None);
    }
}
