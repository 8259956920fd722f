use super::*;

fn link(name: &str) -> Link {
    let id = "a".repeat(52).parse().unwrap();
    Link { id, name: name.into(), size: 3, trackers: Vec::new(), sources: Vec::new(), token: None }
}

#[test]
fn one_is_read_at_a_time_and_the_list_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (folder.path().join("one.mp4"), folder.path().join("other.mp4"));
    std::fs::write(&one, "one").unwrap();
    std::fs::write(&other, "other").unwrap();
    let (mut shares, trouble) = Shares::open(folder.path());
    assert!(trouble.is_none() && shares.is_empty());
    shares.add(&one).unwrap();
    shares.add(&other).unwrap();
    shares.add(&one).unwrap();
    assert_eq!(shares.shown(|_| 0).len(), 2, "the same file is shared once");
    let first = shares.begin().unwrap();
    assert!(shares.begin().is_none() && first.known.is_none());
    assert!(shares.ended(first.number, Ok(link("one.mp4"))));
    let second = shares.begin().unwrap();
    assert!(shares.ended(second.number, Err(gone(&other, "broken"))));
    shares.sent(&link("").id.to_string(), 7);
    shares.save().unwrap();

    let (mut again, _) = Shares::open(folder.path());
    let task = again.begin().unwrap();
    assert_eq!(task.known, Some(link("").id), "what hasn't changed isn't read again");
    assert_eq!(again.shown(|_| 0)[1].sent, 7);
    std::fs::write(&one, "another").unwrap();
    let (mut changed, _) = Shares::open(folder.path());
    assert!(changed.begin().unwrap().known.is_none());
}

#[test]
fn a_changed_file_is_offered_no_longer_and_can_be_shared_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("one.mp4");
    std::fs::write(&path, "one").unwrap();
    let (mut shares, _) = Shares::open(folder.path());
    shares.add(&path).unwrap();
    let task = shares.begin().unwrap();
    shares.ended(task.number, Ok(link("one.mp4")));
    assert!(shares.look().is_empty());
    std::fs::write(&path, "longer").unwrap();
    assert_eq!(shares.look(), [link("").id]);
    assert!(matches!(shares.shown(|_| 0)[0].state, ShareState::Failed { .. }));
    shares.add(&path).unwrap();
    assert!(shares.begin().unwrap().known.is_none());
    assert!(!shares.ended(task.number, Ok(link("late"))), "the answer to an old reading");
}

#[test]
fn what_stops_or_starts_anew_is_called_off() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("one.mp4");
    std::fs::write(&path, "one").unwrap();
    let (mut shares, _) = Shares::open(folder.path());
    shares.add(&path).unwrap();
    let task = shares.begin().unwrap();
    shares.again();
    assert!(task.called_off.token.is_cancelled());
    let task = shares.begin().unwrap();
    assert!(shares.ended(task.number, Ok(link("one.mp4"))));
    assert_eq!(shares.stop(task.number), Some(link("").id));
    assert!(shares.is_empty() && shares.add(Path::new("/none/such")).is_err());
}

#[test]
fn a_list_that_cant_be_read_is_put_aside() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("shares.json"), "[{").unwrap();
    let (shares, trouble) = Shares::open(folder.path());
    assert!(shares.is_empty() && trouble.unwrap().contains("shares.json.broken"));
}

#[test]
fn a_changed_file_has_no_content_until_it_is_read_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("one.mp4");
    std::fs::write(&path, "one").unwrap();
    let (mut shares, _) = Shares::open(folder.path());
    shares.add(&path).unwrap();
    let task = shares.begin().unwrap();
    shares.ended(task.number, Ok(link("one.mp4")));
    // The same size, another time.
    std::fs::write(&path, "two").unwrap();
    let later = SystemTime::now() + Duration::from_secs(5);
    std::fs::File::options().write(true).open(&path).unwrap().set_modified(later).unwrap();
    shares.look();
    shares.add(&path).unwrap();
    let task = shares.begin().unwrap();
    assert!(task.known.is_none() && task.outdated == Some(link("").id));
    // Called off before it is through: what was known of the old content isn't known of this.
    shares.again();
    assert!(shares.begin().unwrap().known.is_none(), "the old content's id for a new file");
    shares.save().unwrap();
    let (mut restarted, _) = Shares::open(folder.path());
    assert!(restarted.begin().unwrap().known.is_none(), "after a restart");
}
