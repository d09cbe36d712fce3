//! Keeps one connection to the receiver, and tells exports whether to use it, to wait for it or to fail.
//!
//! The states are those of a gRPC channel (`doc/connectivity-semantics-and-api.md` of github.com/grpc/grpc) with the
//! policy pick_first, which the official module has: while the first attempt runs, exports wait for it. After a
//! failed one they fail at once, until an attempt succeeds; attempts go on by the clock, whether there are exports or
//! not. A connection that is lost is made again with the next export, without a wait.
//!
//! Knows nothing of NGINX or of OTLP.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::backoff::Backoff;

/// An attempt may take that long, or until the next one is due if that is later: gRPC's MIN_CONNECT_TIMEOUT.
const CONNECT_LIMIT: Duration = Duration::from_secs(20);

pub enum State<Sender> {
    /// The connection was lost, and no export has asked for another one.
    Idle,
    Connecting,
    Ready(Sender),
    /// The last attempt failed, for this reason. It stays so while the next ones run.
    Failed(String),
}

/// Connects and connects again, for as long as it is polled.
///
/// `connect` gives what sends, and a future that drives the connection and ends with it.
pub async fn keep<Sender, Lost, Attempt>(state: &watch::Sender<State<Sender>>, mut connect: impl FnMut() -> Attempt)
where
    Attempt: Future<Output = Result<(Sender, Lost), String>>,
    Lost: Future<Output = ()>,
{
    loop {
        let (sender, lost) = connected(state, &mut connect).await;
        state.send_replace(State::Ready(sender));
        lost.await;
        state.send_replace(State::Idle);
        // The sender is borrowed here, so there is always one.
        let _ = state.subscribe().wait_for(|state| matches!(state, State::Connecting)).await;
    }
}

async fn connected<Sender, Lost, Attempt>(
    state: &watch::Sender<State<Sender>>,
    connect: &mut impl FnMut() -> Attempt,
) -> (Sender, Lost)
where
    Attempt: Future<Output = Result<(Sender, Lost), String>>,
{
    let mut backoff = Backoff::default();
    loop {
        let start = Instant::now();
        let next = start + backoff.next(fastrand::f64());
        let why = match timeout_at(next.max(start + CONNECT_LIMIT), connect()).await {
            Ok(Ok(connection)) => return connection,
            Ok(Err(why)) => why,
            Err(_) => "connection attempt timed out".to_owned(),
        };
        // The words of gRPC, which people search for.
        state.send_replace(State::Failed(format!("failed to connect to all addresses; last error: {why}")));
        sleep_until(next).await;
    }
}

/// What sends, once there is a connection; or why there is none.
pub async fn ready<Sender: Clone>(state: &watch::Sender<State<Sender>>) -> Result<Sender, String> {
    let mut changes = state.subscribe();
    loop {
        match &*changes.borrow_and_update() {
            State::Ready(sender) => return Ok(sender.clone()),
            State::Failed(why) => return Err(why.clone()),
            State::Idle | State::Connecting => {}
        }
        state.send_if_modified(|state| {
            let is_idle = matches!(state, State::Idle);
            if is_idle {
                *state = State::Connecting;
            }
            is_idle
        });
        // The sender is borrowed here, so there is always one.
        let _ = changes.changed().await;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::future::{pending, ready as at_once};
    use std::rc::Rc;

    use tokio::task::{LocalSet, spawn_local, yield_now};
    use tokio::time::sleep;

    use super::*;

    type Attempts = Rc<RefCell<Vec<f64>>>;

    /// A receiver that refuses from `away` to `back`, both in seconds; gives the times of the attempts to connect.
    ///
    /// The connections that it takes are lost when it goes away.
    fn receiver(away: f64, back: f64) -> (watch::Sender<State<()>>, Attempts) {
        let state = watch::Sender::new(State::Connecting);
        let (kept, attempts) = (state.clone(), Attempts::default());
        let noted = Rc::clone(&attempts);
        let start = Instant::now();
        spawn_local(async move {
            let connect = || {
                let now = start.elapsed().as_secs_f64();
                noted.borrow_mut().push(now);
                let up = if now < away { Some(away) } else { None };
                at_once(match up {
                    None if now < back => Err("refused".to_owned()),
                    until => Ok(((), async move {
                        match until {
                            Some(seconds) => sleep_until(start + Duration::from_secs_f64(seconds)).await,
                            None => pending().await,
                        }
                    })),
                })
            };
            keep(&kept, connect).await;
        });
        (state, attempts)
    }

    /// Exports twice a second for 200 s; gives the times at which an export failed.
    async fn failures(state: &watch::Sender<State<()>>) -> Vec<f64> {
        let (start, mut failed) = (Instant::now(), Vec::new());
        while start.elapsed() < Duration::from_secs(200) {
            // Not at the same moment as the attempts.
            sleep(Duration::from_millis(500)).await;
            if ready(state).await.is_err() {
                failed.push(start.elapsed().as_secs_f64());
            }
        }
        failed
    }

    /// Runs with a clock that jumps to the next timer.
    fn run<Outcome>(test: impl Future<Output = Outcome>) -> Outcome {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        LocalSet::new().block_on(&runtime, test)
    }

    #[test]
    fn exports_fail_after_the_return_for_as_long_as_the_official_module_s() {
        // Seconds away, and the earliest and latest attempt after it: the sums of the waits from 0.25 s after the loss on,
        // when the next export is due; the last one is a wait of 26.8 s and a fifth after an attempt just before it. Measured with the official module: 0.6, 5 and 29.7 s.
        for (away, earliest, latest) in [(2.0, 0.53, 1.17), (12.0, 1.1, 7.1), (45.0, 0.0, 32.3)] {
            for _ in 0..20 {
                let failed = run(async {
                    let (state, _) = receiver(10.25, 10.25 + away);
                    failures(&state).await
                });
                let after = failed.last().unwrap() - 10.25 - away;
                assert!(failed[0] < 10.25 + 0.6, "the first export after the loss finds it");
                // Exports are made twice a second.
                assert!(after > earliest - 0.5 && after <= latest, "away {away} s, fails {after} s longer");
                // Every export in between fails, also while an attempt is due.
                assert_eq!(failed.len(), ((failed.last().unwrap() - failed[0]) / 0.5).round() as usize + 1);
            }
        }
    }

    #[test]
    fn a_receiver_that_is_not_there_at_the_start_is_looked_for_without_exports() {
        let attempts = run(async {
            let (_state, attempts) = receiver(0.0, 5.0);
            sleep(Duration::from_secs(100)).await;
            attempts.take()
        });
        assert_eq!(attempts[..2], [0.0, 1.0]);
        assert!(attempts.len() <= 6 && *attempts.last().unwrap() > 5.0, "{attempts:?}");
    }

    #[test]
    fn a_lost_connection_is_made_again_with_the_next_export_and_not_before() {
        let (before, failed, attempts) = run(async {
            let (state, attempts) = receiver(10.0, 10.0);
            sleep(Duration::from_secs(20)).await;
            let before = attempts.borrow().clone();
            let failed = ready(&state).await.is_err();
            (before, failed, attempts.take())
        });
        assert_eq!((before, failed, attempts), (vec![0.0], false, vec![0.0, 20.0]));
    }

    #[test]
    fn exports_wait_for_the_first_attempt_and_fail_with_it() {
        let (waited, why) = run(async {
            let state = watch::Sender::new(State::<()>::Connecting);
            let kept = state.clone();
            spawn_local(async move { keep(&kept, pending::<Result<((), std::future::Ready<()>), _>>).await });
            yield_now().await;
            let start = Instant::now();
            (ready(&state).await.unwrap_err(), start.elapsed())
        });
        assert_eq!(why, CONNECT_LIMIT);
        assert!(waited.ends_with("last error: connection attempt timed out"), "{waited}");
    }
}
