//! Waiting for other processes: they are asked until the answer is there.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// How long anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
/// Between two questions.
const PAUSE: Duration = Duration::from_millis(40);

/// Asks until there is an answer; fails, naming what was waited for, when there is none for long.
pub(crate) async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(
            start.elapsed() < PATIENCE,
            "waited {PATIENCE:?} in vain for {what}"
        );
        sleep(PAUSE).await;
    }
}
