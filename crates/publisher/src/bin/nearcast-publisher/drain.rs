//! The end: no new streams, and time for those that run.

use std::time::Duration;

use nearcast_publisher::Publication;
use nearcast_transfer::Controller;

/// Viewers ask in bursts; who has asked for nothing in this time has other sources by now.
const QUIET: Duration = Duration::from_secs(3);

/// Takes no new streams, and waits until those that run have ended or ask for nothing.
pub async fn drained(controller: &Controller, publication: &Publication) {
    controller.close_doors();
    publication.close();
    loop {
        let open = |controller: &Controller| {
            controller.served().values().map(|served| served.streams).sum::<usize>()
        };
        if open(controller) == 0 && publication.direct_streams() == 0 {
            return;
        }
        let before = controller.network().uploaded();
        tokio::time::sleep(QUIET).await;
        if controller.network().uploaded() == before && publication.direct_streams() == 0 {
            return;
        }
    }
}
