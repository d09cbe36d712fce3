//! How long gRPC waits between two attempts to connect.
//!
//! Pure; the numbers are gRPC's, from `doc/connection-backoff.md` of github.com/grpc/grpc, and the official module
//! has no directive that changes them.

use std::time::Duration;

const INITIAL: Duration = Duration::from_secs(1);
const MULTIPLIER: f64 = 1.6;
const MAXIMUM: Duration = Duration::from_secs(120);
const JITTER: f64 = 0.2;

/// The waits of one series of failed attempts; a connection that was established begins a new series.
#[derive(Default)]
pub struct Backoff(Option<Duration>);

impl Backoff {
    /// The time from the start of one attempt to the start of the next.
    ///
    /// `random` is between 0 and 1: where in the range of the jitter the time lies. The first one has no jitter.
    pub fn next(&mut self, random: f64) -> Duration {
        let Some(last) = self.0 else {
            self.0 = Some(INITIAL);
            return INITIAL;
        };
        let current = last.mul_f64(MULTIPLIER).min(MAXIMUM);
        self.0 = Some(current);
        current.mul_f64(1.0 + JITTER * (2.0 * random - 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(random: f64) -> Vec<f64> {
        let mut backoff = Backoff::default();
        (0..14).map(|_| (backoff.next(random).as_secs_f64() * 100.0).round() / 100.0).collect()
    }

    #[test]
    fn waits_grow_by_1_6_from_one_second_to_two_minutes() {
        let expected = [1.0, 1.6, 2.56, 4.1, 6.55, 10.49, 16.78, 26.84, 42.95, 68.72, 109.95, 120.0, 120.0, 120.0];
        assert_eq!(seconds(0.5), expected);
    }

    #[test]
    fn the_jitter_is_a_fifth_of_each_wait_but_the_first() {
        assert_eq!(seconds(0.0)[..3], [1.0, 1.28, 2.05]);
        assert_eq!(seconds(1.0)[..3], [1.0, 1.92, 3.07]);
        assert_eq!(seconds(1.0)[13], 144.0);
    }
}
