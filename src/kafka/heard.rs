//! What brokers told another client of this core a moment ago.
//!
//! A thousand tasks that start at once would ask a thousand times for the same metadata of a
//! thousand partitions. Of clients that speak to the same cluster as the same user, the first asks,
//! and those that come meanwhile or right after take its answer. Only for a client's first look: one
//! that asks again has a reason to.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::config::Peer;
use crate::local::Bell;
use crate::metadata::Metadata;

/// How long an answer is taken for what brokers would say now: about as long as news take to get
/// from broker to broker.
const FRESH: Duration = Duration::from_millis(100);

struct Heard {
    peer: Peer,
    /// The one who asks now, rings it when that ends.
    asking: Option<Rc<Bell>>,
    told: Option<(Instant, Rc<Metadata>)>,
}

thread_local! {
    static HEARD: RefCell<Vec<Heard>> = RefCell::default();
}

/// The entry for that peer. The few of one process; those without use any more go.
fn with<T>(peer: &Peer, look: impl FnOnce(&mut Heard) -> T) -> T {
    HEARD.with_borrow_mut(|all| {
        let of_use = |one: &Heard| one.asking.is_some() || one.fresh().is_some();
        all.retain(|one| one.peer == *peer || of_use(one));
        let place = all.iter().position(|one| one.peer == *peer).unwrap_or_else(|| {
            all.push(Heard { peer: peer.clone(), asking: None, told: None });
            all.len() - 1
        });
        look(&mut all[place])
    })
}

impl Heard {
    fn fresh(&self) -> Option<&(Instant, Rc<Metadata>)> {
        self.told.as_ref().filter(|(at, _)| at.elapsed() < FRESH)
    }
}

/// Notes an answer, for others.
pub(crate) fn note(peer: &Peer, at: Instant, metadata: &Rc<Metadata>) {
    with(peer, |heard| heard.told = Some((at, metadata.clone())));
}

/// The right to ask for others too, which wait meanwhile.
pub(crate) struct Asking {
    peer: Peer,
    bell: Rc<Bell>,
}

impl Drop for Asking {
    fn drop(&mut self) {
        // A core that ends may have forgotten everything before its last tasks go.
        let _ = HEARD.try_with(|all| {
            let mut all = all.borrow_mut();
            let own = all.iter_mut().find(|one| one.peer == self.peer);
            own.into_iter().for_each(|one| one.asking = None);
        });
        self.bell.ring();
    }
}

/// What to do for a first look.
pub(crate) enum First {
    /// Others were told this, and when.
    Told(Instant, Rc<Metadata>),
    /// To be asked; for nobody else if there is no right to.
    Ask(Option<Asking>),
}

/// Waits for one who is asking already, whose failure is not taken for one's own.
pub(crate) async fn first(peer: &Peer, topics: &BTreeSet<Rc<str>>) -> First {
    let told = |heard: &mut Heard| {
        let (at, metadata) = heard.fresh()?;
        Some(First::Told(*at, only(metadata, topics)?))
    };
    let other = with(peer, |heard| match told(heard) {
        Some(told) => Err(told),
        None => Ok(heard.asking.clone()),
    });
    match other {
        Err(told) => return told,
        Ok(Some(bell)) => bell.listen().await,
        Ok(None) => {
            let bell = Rc::new(Bell::default());
            with(peer, |heard| heard.asking = Some(bell.clone()));
            return First::Ask(Some(Asking { peer: peer.clone(), bell }));
        }
    }
    with(peer, told).unwrap_or(First::Ask(None))
}

/// The same, if it knows all these topics, and without others.
fn only(metadata: &Rc<Metadata>, topics: &BTreeSet<Rc<str>>) -> Option<Rc<Metadata>> {
    let known = |topic: &Rc<str>| metadata.topics.get(topic).is_some_and(|topic| topic.error == 0);
    if !topics.iter().all(known) {
        return None;
    }
    if topics.len() == metadata.topics.len() {
        return Some(metadata.clone());
    }
    let mut less = Metadata::clone(metadata);
    less.topics.retain(|topic, _| topics.contains(topic));
    Some(Rc::new(less))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::config::ClientConfig;
    use crate::metadata::Topic;

    fn peer(server: &str, password: &str) -> Peer {
        let map = [("bootstrap.servers", server), ("ssl.key.password", password)];
        let map: BTreeMap<_, _> =
            map.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        ClientConfig::parse(&map).unwrap().config.peer
    }

    fn names(topics: &[&str]) -> BTreeSet<Rc<str>> {
        topics.iter().map(|topic| Rc::from(*topic)).collect()
    }

    fn metadata(topics: &[&str]) -> Rc<Metadata> {
        let topic = || Topic { id: 1, internal: false, error: 0, partitions: Rc::new([]) };
        let topics = topics.iter().map(|name| (Rc::from(*name), topic())).collect();
        Rc::new(Metadata { topics, ..Metadata::default() })
    }

    /// Fresh for longer than any test takes.
    fn lately() -> Instant {
        Instant::now() + Duration::from_secs(3600)
    }

    fn now<T>(future: impl Future<Output = T>) -> Option<T> {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        }
    }

    fn told(first: First) -> Option<Rc<Metadata>> {
        match first {
            First::Told(_, metadata) => Some(metadata),
            First::Ask(_) => None,
        }
    }

    #[test]
    fn one_asks_and_the_others_wait_for_its_answer() {
        let (peer, other) = (peer("one:9092", "x"), peer("one:9092", "y"));
        let topics = names(&["t"]);
        let asking = now(first(&peer, &topics)).expect("nobody to wait for");
        assert!(matches!(asking, First::Ask(Some(_))));
        assert!(matches!(now(first(&other, &topics)), Some(First::Ask(Some(_)))), "another user");
        let mut second = pin!(first(&peer, &topics));
        let more = names(&["t", "u"]);
        let mut third = pin!(first(&peer, &more));
        let mut context = Context::from_waker(Waker::noop());
        assert!(second.as_mut().poll(&mut context).is_pending());
        assert!(third.as_mut().poll(&mut context).is_pending());

        note(&peer, lately(), &metadata(&["t", "v"]));
        drop(asking);
        let Poll::Ready(second) = second.poll(&mut context) else { panic!("it still waits") };
        assert_eq!(told(second).expect("its topics are known"), metadata(&["t"]));
        // What nobody asked about is asked for.
        assert!(matches!(third.poll(&mut context), Poll::Ready(First::Ask(None))));
    }

    #[test]
    fn one_that_fails_leaves_the_others_to_themselves() {
        let peer = peer("two:9092", "x");
        let topics = names(&["t"]);
        let asking = now(first(&peer, &topics));
        let mut second = pin!(first(&peer, &topics));
        let mut context = Context::from_waker(Waker::noop());
        assert!(second.as_mut().poll(&mut context).is_pending());
        drop(asking);
        assert!(matches!(second.poll(&mut context), Poll::Ready(First::Ask(None))));
        assert!(matches!(now(first(&peer, &topics)), Some(First::Ask(Some(_)))));
    }

    #[test]
    fn what_is_old_or_in_error_is_not_told() {
        let peer = peer("three:9092", "x");
        note(&peer, Instant::now() - FRESH, &metadata(&["t"]));
        assert!(told(now(first(&peer, &names(&["t"]))).unwrap()).is_none());
        let mut wrong = Metadata::clone(&metadata(&["t"]));
        wrong.topics.values_mut().for_each(|topic| topic.error = 3);
        note(&peer, lately(), &Rc::new(wrong));
        assert!(told(now(first(&peer, &names(&["t"]))).unwrap()).is_none());
    }
}
