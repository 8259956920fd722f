//! A video is shared from one terminal, and another one watches it.

use std::{fs, path::Path};

use nearcast_terminal::{
    screen::{Code, Command, Playing, Screen, Share, ShareState},
    settings::Settings,
};

use crate::rig::{Rig, film};

async fn share(rig: &Rig, paths: &[&Path]) {
    let paths = paths.iter().map(|path| path.to_string_lossy().into_owned()).collect();
    rig.terminal.act(Command::Share { paths }).await;
}

fn link(share: &Share) -> Option<String> {
    match &share.state {
        ShareState::Shared { link } => Some(link.clone()),
        _ => None,
    }
}

fn all_shared(screen: &Screen) -> bool {
    !screen.shares.is_empty() && screen.shares.iter().all(|share| link(share).is_some())
}

/// Watches a link in a terminal of its own until all of it is there; gives the file.
async fn watched(root: &Path, link: &str) -> Vec<u8> {
    let rig = Rig::start(root);
    rig.begin(root).await;
    rig.terminal.act(Command::Open { text: link.to_owned() }).await;
    rig.until("the whole film", |screen| {
        screen.film.as_ref().is_some_and(|film| {
            film.state != Playing::Opening
                && film.sources.as_ref().is_some_and(|sources| sources.held == sources.size)
        })
    })
    .await;
    rig.end().await;
    let id = link.trim_start_matches("nearcast://").split('/').next().unwrap();
    let content = root.join("films/library").join(id).join("content");
    fs::read(fs::read_dir(content).unwrap().next().unwrap().unwrap().path()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shared_video_is_watched_elsewhere_and_is_there_again_after_a_restart() {
    let root = tempfile::tempdir().unwrap();
    let clip = root.path().join("our holiday.webm");
    film(&clip, 100);
    let giver = root.path().join("giver");
    let rig = Rig::start(&giver);
    rig.begin(&giver).await;
    assert!(!giver.join("data/tracker").exists(), "no tracker before something is shared");
    share(&rig, &[&clip]).await;
    let screen = rig.until("the link", all_shared).await;
    let first = link(&screen.shares[0]).unwrap();
    assert!(first.contains("tracker=/ip4/127.0.0.1/tcp/"), "this computer is the tracker: {first}");
    assert_eq!(screen.shares[0].title, "our holiday");
    assert_eq!(screen.storage.used, 0, "the owner's file takes nothing of the space for films");
    let whole = fs::read(&clip).unwrap();
    assert!(watched(&root.path().join("one"), &first).await == whole);
    rig.until("what was sent", |screen| screen.shares[0].sent >= whole.len() as u64).await;
    rig.end().await;

    // The link stays good.
    let rig = Rig::start(&giver);
    let screen = rig.until("the link again", all_shared).await;
    assert_eq!(link(&screen.shares[0]).unwrap(), first);
    assert!(screen.shares[0].sent >= whole.len() as u64);
    assert!(watched(&root.path().join("other"), &first).await == whole);

    // With a tracker of the user's, links name that one.
    let elsewhere = "/ip4/127.0.0.9/tcp/9";
    let settings = Settings { trackers: vec![elsewhere.into()], ..screen.settings };
    rig.terminal.act(Command::Set { settings: settings.clone() }).await;
    let named = |screen: &Screen| link(&screen.shares[0]).is_some_and(|link| link.contains(elsewhere));
    let screen = rig.until("a link with it", named).await;
    assert!(!link(&screen.shares[0]).unwrap().contains("127.0.0.1"));
    // Unless this computer is to be it all the same.
    rig.terminal.act(Command::Set { settings: Settings { own_tracker: true, ..settings } }).await;
    rig.until("the first link", |screen| link(&screen.shares[0]).is_some_and(|now| now == first)).await;

    rig.terminal.act(Command::StopSharing { id: rig.terminal.screen().borrow().shares[0].id }).await;
    rig.until("an empty list", |screen| screen.shares.is_empty()).await;
    assert!(clip.is_file());
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cant_be_shared_is_said_and_the_others_go_on() {
    let root = tempfile::tempdir().unwrap();
    let (clip, text) = (root.path().join("clip.webm"), root.path().join("text.mp4"));
    film(&clip, 50);
    fs::write(&text, "this is no film").unwrap();
    let rig = Rig::start(root.path());
    // Before the first start is answered nothing is shared.
    share(&rig, &[&clip]).await;
    rig.begin(root.path()).await;
    assert!(rig.terminal.screen().borrow().shares.is_empty());
    share(&rig, &[&root.path().join("none.mp4"), &text, &clip]).await;
    let screen = rig
        .until("both", |screen| {
            screen.shares.len() == 2
                && screen
                    .shares
                    .iter()
                    .all(|share| matches!(share.state, ShareState::Shared { .. } | ShareState::Failed { .. }))
        })
        .await;
    assert_eq!(screen.notices[0].message.code, Code::BadFile);
    assert!(link(&screen.shares[0]).is_some());
    let ShareState::Failed { message } = &screen.shares[1].state else { panic!("{:?}", screen.shares) };
    assert_eq!(message.code, Code::NotAFilm);

    // Gone, and then another one: it is no longer what its link says.
    film(&clip, 75);
    let screen =
        rig.until("the change", |screen| matches!(screen.shares[0].state, ShareState::Failed { .. })).await;
    let ShareState::Failed { message } = &screen.shares[0].state else { unreachable!() };
    assert!(message.detail.contains("changed"), "{}", message.detail);
    share(&rig, &[&clip]).await;
    rig.until("the new link", |screen| link(&screen.shares[0]).is_some()).await;
    rig.end().await;
    let library = fs::read_dir(root.path().join("films/library")).unwrap();
    let ids = library.filter(|entry| entry.as_ref().unwrap().file_name().len() == 52).count();
    assert_eq!(ids, 1, "what the file was before is forgotten");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_film_that_was_watched_stays_when_a_copy_of_it_is_shared_no_longer() {
    let root = tempfile::tempdir().unwrap();
    let clip = root.path().join("clip.webm");
    film(&clip, 50);
    let giver = root.path().join("giver");
    let rig = Rig::start(&giver);
    rig.begin(&giver).await;
    share(&rig, &[&clip]).await;
    let screen = rig.until("the link", all_shared).await;
    let address = link(&screen.shares[0]).unwrap();
    let viewer = root.path().join("viewer");
    watched(&viewer, &address).await;

    let again = Rig::start(&viewer);
    let before = again.until("the film kept", |screen| screen.storage.used > 0).await.storage.used;
    share(&again, &[&clip]).await;
    let screen = again.until("the link", all_shared).await;
    again.terminal.act(Command::StopSharing { id: screen.shares[0].id }).await;
    let screen = again.until("an empty list", |screen| screen.shares.is_empty()).await;
    assert_eq!(screen.storage.used, before, "what was watched is still kept");
    again.end().await;
    rig.end().await;
}
