//! The laws of watching.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use store::{Event, Options, Txn, WatchError};

use super::{Maker, key, put, shown, value};

const SOON: Duration = Duration::from_secs(10);

pub(super) fn a_watch_tells_everything_in_order(make: &mut dyn Maker) {
    let store = make.store(Options::default());
    let start = store.revision();
    let mut watcher = store.watch("", start + 1).unwrap();
    for n in 0..20 {
        store.commit(put("a", &n.to_string())).unwrap();
    }
    for n in 0..20 {
        let change = watcher.try_next().unwrap().unwrap();
        assert_eq!(shown(&change), (start + 1 + n, vec![format!("+a={n}")]));
        assert_eq!(watcher.seen(), change.revision);
    }
    assert_eq!(watcher.try_next().unwrap(), None);
}

pub(super) fn a_watch_tells_a_revision_whole(make: &mut dyn Maker) {
    let store = make.store(Options::default());
    store.commit(put("gone", "0")).unwrap();
    let txn = put("b", "1").put(key("a"), value("2")).delete(key("absent")).delete(key("gone"));
    let revision = store.commit(txn).unwrap();
    let change = store.watch("", revision).unwrap().try_next().unwrap().unwrap();
    assert_eq!(shown(&change), (revision, vec!["+b=1".into(), "+a=2".into(), "-gone".into()]));
}

pub(super) fn a_watch_tells_only_its_prefix(make: &mut dyn Maker) {
    let store = make.store(Options::default());
    let mut watcher = store.watch("/a/", store.revision() + 1).unwrap();
    store.commit(put("/b/1", "1")).unwrap();
    let both = store.commit(put("/a/1", "1").put(key("/b/1"), value("2"))).unwrap();
    let last = store.commit(put("/b/1", "3")).unwrap();
    assert_eq!(shown(&watcher.try_next().unwrap().unwrap()), (both, vec!["+/a/1=1".into()]));
    assert_eq!(watcher.try_next().unwrap(), None);
    assert_eq!(watcher.seen(), last, "the silence of the rest is known");
}

pub(super) fn a_watch_of_the_past_catches_up(make: &mut dyn Maker) {
    let store = make.store(Options::default());
    let start = store.revision();
    for n in 0..5 {
        store.commit(put("a", &n.to_string())).unwrap();
    }
    let mut watcher = store.watch("", start + 3).unwrap();
    assert_eq!(shown(&watcher.try_next().unwrap().unwrap()), (start + 3, vec!["+a=2".into()]));
    let mut whole = store.watch("", 0).unwrap();
    assert_eq!(shown(&whole.try_next().unwrap().unwrap()), (start + 1, vec!["+a=0".into()]));
}

pub(super) fn a_watch_of_the_future_waits(make: &mut dyn Maker) {
    let store = make.store(Options::default());
    let start = store.revision();
    let mut watcher = store.watch("", start + 3).unwrap();
    for n in 1..=3 {
        assert_eq!(watcher.try_next().unwrap(), None);
        store.commit(put("a", &n.to_string())).unwrap();
    }
    assert_eq!(shown(&watcher.try_next().unwrap().unwrap()), (start + 3, vec!["+a=3".into()]));
}

pub(super) fn a_watch_of_forgotten_history_is_refused(make: &mut dyn Maker) {
    let store = make.store(Options { history_revisions_max: 4, ..Options::default() });
    let start = store.revision();
    let _ = store.commit_batch((0..10).map(|n| put("a", &n.to_string())).collect());
    let error = store.watch("", start + 6).unwrap_err();
    assert_eq!(error, WatchError::Compacted { from: start + 6, compacted: start + 6 });
    let mut watcher = store.watch("", start + 7).unwrap();
    assert_eq!(shown(&watcher.try_next().unwrap().unwrap()), (start + 7, vec!["+a=6".into()]));
}

pub(super) fn a_slow_watcher_is_told(make: &mut dyn Maker) {
    let store = make.store(Options { history_revisions_max: 4, ..Options::default() });
    let start = store.revision();
    let mut watcher = store.watch("", start + 1).unwrap();
    let _ = store.commit_batch((0..4).map(|n| put("a", &n.to_string())).collect());
    assert_eq!(watcher.try_next().unwrap().unwrap().revision, start + 1);
    let _ = store.commit_batch((4..6).map(|n| put("a", &n.to_string())).collect());
    let lost = WatchError::Compacted { from: start + 2, compacted: start + 2 };
    assert_eq!(watcher.try_next().unwrap_err(), lost);
    assert_eq!(watcher.next(SOON).unwrap_err(), lost, "nor does it wait in vain, or skip");
    let snapshot = store.snapshot("");
    let mut watcher = store.watch("", snapshot.revision + 1).unwrap();
    store.commit(put("a", "again")).unwrap();
    assert_eq!(watcher.try_next().unwrap().unwrap().revision, snapshot.revision + 1);
}

pub(super) fn a_quiet_watcher_does_not_age(make: &mut dyn Maker) {
    let store = make.store(Options { history_revisions_max: 4, ..Options::default() });
    let mut watcher = store.watch("/quiet/", store.revision() + 1).unwrap();
    for n in 0..20 {
        store.commit(put("/busy/1", &n.to_string())).unwrap();
        assert_eq!(watcher.try_next().unwrap(), None);
    }
    let revision = store.commit(put("/quiet/1", "x")).unwrap();
    assert_eq!(watcher.try_next().unwrap().unwrap().revision, revision);
}

pub(super) fn history_is_bounded_by_bytes(make: &mut dyn Maker) {
    let store = make.store(Options { history_bytes_max: 1000, ..Options::default() });
    let start = store.revision();
    let _ = store.commit_batch((0..10).map(|_| Txn::new().put(key("a"), vec![0; 199])).collect());
    assert!(store.watch("", start + 5).is_err());
    store.watch("", start + 6).unwrap();
    let large = store.commit(Txn::new().put(key("a"), vec![0; 5000])).unwrap();
    store.watch("", large).expect("the newest revision is kept whatever its size");
    assert!(store.watch("", large - 1).is_err());
}

pub(super) fn watchers_are_limited(make: &mut dyn Maker) {
    let store = make.store(Options { watchers_max: 2, ..Options::default() });
    let one = store.watch("", 1).unwrap();
    let _two = store.watch("", 1).unwrap();
    assert_eq!(store.watch("", 1).unwrap_err(), WatchError::TooMany { max: 2 });
    drop(one);
    store.watch("", 1).unwrap();
}

pub(super) fn a_watcher_blocks_until_a_commit(make: &mut dyn Maker) {
    let store = make.store(Options::default());
    let mut watcher = store.watch("/a/", store.revision() + 1).unwrap();
    let start = Instant::now();
    let waiting = thread::spawn(move || watcher.next(SOON).unwrap().map(|change| change.revision));
    thread::sleep(Duration::from_millis(20));
    store.commit(put("/b/1", "1")).unwrap();
    let revision = store.commit(put("/a/1", "1")).unwrap();
    assert_eq!(waiting.join().unwrap(), Some(revision));
    assert!(start.elapsed() < SOON / 2, "it was woken, not late");
}

pub(super) fn a_watcher_times_out(make: &mut dyn Maker) {
    let store = make.store(Options::default());
    let mut watcher = store.watch("", store.revision() + 1).unwrap();
    let start = Instant::now();
    assert_eq!(watcher.next(Duration::from_millis(30)).unwrap(), None);
    assert!(start.elapsed() >= Duration::from_millis(30));
    assert_eq!(watcher.next(Duration::ZERO).unwrap(), None);
}

pub(super) fn a_task_is_woken_by_a_commit(make: &mut dyn Maker) {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Wake, Waker};

    struct Unpark(thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let store = make.store(Options::default());
    let mut watcher = store.watch("/a/", store.revision() + 1).unwrap();
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut cx = Context::from_waker(&waker);
    let mut changed = pin!(watcher.changed());
    assert!(changed.as_mut().poll(&mut cx).is_pending());
    let committer = thread::spawn({
        let store = store.clone();
        move || {
            store.commit(put("/b/1", "1")).unwrap();
            store.commit(put("/a/1", "1")).unwrap()
        }
    });
    let start = Instant::now();
    let change = loop {
        match changed.as_mut().poll(&mut cx) {
            Poll::Ready(change) => break change.unwrap(),
            Poll::Pending => thread::park_timeout(SOON),
        }
        assert!(start.elapsed() < SOON, "the task was not woken");
    };
    assert_eq!(change.revision, committer.join().unwrap());
}

pub(super) fn a_closed_store_ends_its_watchers(make: &mut dyn Maker) {
    let store = make.store(Options::default());
    let mut watcher = store.watch("", store.revision() + 1).unwrap();
    let mut blocked = store.watch("/never/", store.revision() + 1).unwrap();
    let waiting = thread::spawn(move || blocked.next(SOON));
    let other = store.clone();
    store.commit(put("a", "1")).unwrap();
    drop(store);
    assert_eq!(shown(&watcher.try_next().unwrap().unwrap()).1, ["+a=1"]);
    assert_eq!(watcher.try_next().unwrap(), None, "another handle keeps the store open");
    other.commit(put("a", "2")).unwrap();
    drop(other);
    assert_eq!(shown(&watcher.try_next().unwrap().unwrap()).1, ["+a=2"], "what is left is handed out");
    assert_eq!(watcher.try_next().unwrap_err(), WatchError::Closed);
    assert_eq!(waiting.join().unwrap().unwrap_err(), WatchError::Closed);
}

pub(super) fn snapshot_then_watch_misses_nothing_under_load(make: &mut dyn Maker) {
    let store = make.store(Options::default());
    let writer = thread::spawn({
        let store = store.clone();
        move || {
            for n in 0..60 {
                let name = format!("k{}", n % 7);
                let txn = if n % 5 == 4 { Txn::new().delete(key(&name)) } else { put(&name, &n.to_string()) };
                store.commit(txn).unwrap();
            }
            store.commit(put("end", "")).unwrap()
        }
    });
    let mut copy = store.snapshot("");
    let mut watcher = store.watch("", copy.revision + 1).unwrap();
    while !copy.entries.contains_key(&key("end")) {
        let change = watcher.next(SOON).unwrap().expect("the writer is alive");
        assert_eq!(change.revision, copy.revision + 1, "no gap");
        copy.revision = change.revision;
        for event in change.events.iter() {
            match event {
                Event::Put { key, entry } => drop(copy.entries.insert(key.clone(), entry.clone())),
                Event::Delete { key } => assert!(copy.entries.remove(key).is_some()),
            }
        }
    }
    writer.join().unwrap();
    assert_eq!(copy, store.snapshot(""));
}
