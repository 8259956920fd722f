//! The terminal without a window: real film, real node, a desktop that only counts what it is asked.

use nearcast_terminal::{
    screen::{Code, Command, LinkAnswer, Playing, Question, Screen},
    settings::{OnClose, Settings},
};

use crate::rig::{Rig, film};

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_on_the_network_before_the_answer_and_what_was_given_waits() {
    let root = tempfile::tempdir().unwrap();
    let clip = root.path().join("clip.webm");
    film(&clip, 50);
    let rig = Rig::start(root.path());
    rig.terminal.given(clip.to_string_lossy().into_owned(), "/".into()).await;
    rig.until("the first start", |screen| screen.first_start && !screen.sharing.online).await;
    assert!(!root.path().join("films").exists(), "no identity is made before the answer");
    rig.begin(root.path()).await;
    rig.until("the film", |screen| screen.film.as_ref().is_some_and(|film| film.title == "clip")).await;
    rig.end().await;

    let again = Rig::start(root.path());
    let screen = again.until("the network", |screen| screen.sharing.online).await;
    assert!(!screen.first_start);
    assert_eq!(screen.recent.len(), 1);
    assert!(screen.recent[0].local);
    again.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_plays_pauses_seeks_ends_and_starts_anew() {
    let root = tempfile::tempdir().unwrap();
    let clip = root.path().join("clip.webm");
    film(&clip, 250);
    let rig = Rig::start(root.path());
    rig.begin(root.path()).await;
    rig.terminal.act(Command::Open { text: clip.to_string_lossy().into_owned() }).await;
    let is =
        |state: Playing| move |screen: &Screen| screen.film.as_ref().is_some_and(|film| film.state == state);
    let screen = rig.until("playing", is(Playing::Playing)).await;
    assert!(screen.film.unwrap().figures.first_picture_ms.is_some());
    rig.terminal.act(Command::Pause).await;
    rig.until("the pause", is(Playing::Paused)).await;
    rig.terminal.act(Command::Seek { to_ms: 9_000, exact: true }).await;
    let landed = |screen: &Screen| {
        screen
            .film
            .as_ref()
            .is_some_and(|film| film.figures.seek_picture_ms.is_some() && film.position_ms >= 9_000)
    };
    rig.until("the seek", landed).await;
    rig.terminal.act(Command::Play).await;
    rig.until("the end", is(Playing::Ended)).await;
    rig.terminal.act(Command::Play).await;
    rig.until("the start again", |screen| {
        screen.film.as_ref().is_some_and(|film| film.state == Playing::Playing && film.position_ms < 9_000)
    })
    .await;
    rig.terminal.act(Command::CloseFilm).await;
    rig.until("home", |screen| screen.film.is_none() && screen.recent.len() == 1).await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cant_be_opened_is_said_and_dismissed() {
    let root = tempfile::tempdir().unwrap();
    let rig = Rig::start(root.path());
    rig.begin(root.path()).await;
    rig.terminal.act(Command::Open { text: "nearcast://short/x".into() }).await;
    let screen = rig.until("the notice", |screen| !screen.notices.is_empty()).await;
    assert_eq!(screen.notices[0].message.code, Code::BadLink);
    rig.terminal.act(Command::Dismiss { id: screen.notices[0].id }).await;
    rig.until("an empty screen", |screen| screen.notices.is_empty()).await;

    let text = root.path().join("text.mp4");
    std::fs::write(&text, "this is no film").unwrap();
    rig.terminal.act(Command::Open { text: text.to_string_lossy().into_owned() }).await;
    let screen = rig
        .until("the failure", |screen| screen.film.as_ref().is_some_and(|film| film.state == Playing::Failed))
        .await;
    assert_eq!(screen.film.unwrap().error.unwrap().code, Code::NotAFilm);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strangers_link_asks_and_a_no_leaves_no_trace() {
    let root = tempfile::tempdir().unwrap();
    let rig = Rig::start(root.path());
    rig.begin(root.path()).await;
    let link = format!("nearcast://{}/film.mp4?size=1000&tracker=/ip4/127.0.0.1/tcp/9", "a".repeat(52));
    rig.terminal.given(link, "/".into()).await;
    let screen = rig.until("the question", |screen| screen.question.is_some()).await;
    let Some(Question::Link { private, size, .. }) = screen.question else { panic!("another question") };
    assert_eq!((private.len(), size), (1, Some(1000)));
    assert!(rig.desktop.told("show"));
    rig.terminal.act(Command::AnswerLink { answer: LinkAnswer::No }).await;
    let screen = rig.until("home", |screen| screen.question.is_none()).await;
    assert!(screen.film.is_none() && screen.recent.is_empty());
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_asks_once_and_the_answer_is_kept() {
    let root = tempfile::tempdir().unwrap();
    let rig = Rig::start(root.path());
    rig.begin(root.path()).await;
    rig.terminal.closed().await;
    rig.until("the question", |screen| matches!(screen.question, Some(Question::Close { tray: true }))).await;
    rig.terminal.act(Command::AnswerClose { keep: true, remember: true }).await;
    let screen = rig.until("home", |screen| screen.question.is_none()).await;
    assert_eq!(screen.settings.on_close, OnClose::Keep);
    rig.terminal.closed().await;
    rig.end().await;
    let again = Rig::start(root.path());
    let screen = again.until("the network", |screen| screen.sharing.online).await;
    assert_eq!(screen.settings.on_close, OnClose::Keep);
    let settings = Settings { on_close: OnClose::Quit, ..screen.settings };
    again.terminal.act(Command::Set { settings }).await;
    again.terminal.closed().await;
    again.task.await.unwrap();
    assert!(again.desktop.told("quit"));
}
