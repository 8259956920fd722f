//! A controller in a folder that another one had a moment ago.

use std::time::Duration;

use nearcast_transfer::{Controller, Settings};

/// Far longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(120);

/// What was killed may hold its folder a moment longer, until the file that it was reading is let go. And where
/// another test starts a program meanwhile, that has our open files, with the folder's lock, until it is the program.
pub async fn start(settings: Settings) -> Controller {
    let starting = async {
        loop {
            match Controller::start(settings.clone()).await {
                Err(error) if error.to_string().contains("use") => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                started => return started.unwrap(),
            }
        }
    };
    tokio::time::timeout(PATIENCE, starting).await.unwrap()
}
