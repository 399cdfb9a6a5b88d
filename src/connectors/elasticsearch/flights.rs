//! The bulk requests under way: what they hold, and what came of those that ended.

use std::cell::RefCell;
use std::collections::HashSet;
use std::rc::Rc;
use std::time::Duration;

use millrace_net::rt::{self, Notify, Task};

use super::bulk::Bulk;
use super::delivery::{Broken, Refused, Shared, deliver};

/// A bulk that has ended.
pub struct Landed {
    pub bulk: Bulk,
    pub refused: Vec<Refused>,
    pub outcome: Result<(), Broken>,
    pub number: u64,
}

struct Flight {
    number: u64,
    records: usize,
    firsts: Vec<(u32, i64)>,
    /// Of documents whose order by id matters.
    ids: HashSet<u64>,
    /// Dropped with the flight, which ends the request.
    _task: Task<()>,
}

/// What tasks leave behind when they end.
#[derive(Default)]
struct Runway {
    landed: RefCell<Vec<Landed>>,
    news: Notify,
}

/// All bulks under way.
pub struct Flights {
    shared: Rc<Shared>,
    runway: Rc<Runway>,
    flights: Vec<Flight>,
    launched: u64,
}

impl Flights {
    pub fn new(shared: Rc<Shared>) -> Self {
        Self { shared, runway: Rc::default(), flights: Vec::new(), launched: 0 }
    }

    pub fn is_empty(&self) -> bool {
        self.flights.is_empty()
    }

    /// Another request may be sent now.
    pub fn has_room(&self) -> bool {
        self.shared.window.allows(self.flights.len())
    }

    /// Records under way.
    pub fn records(&self) -> usize {
        self.flights.iter().map(|flight| flight.records).sum()
    }

    /// A document of that id is under way.
    pub fn holds(&self, id: u64) -> bool {
        self.flights.iter().any(|flight| flight.ids.contains(&id))
    }

    /// The lowest offset of that partition that is not durable.
    pub fn first_of(&self, slot: u32) -> Option<i64> {
        let firsts = self.flights.iter().flat_map(|flight| &flight.firsts);
        firsts.filter(|(known, _)| *known == slot).map(|(_, offset)| *offset).min()
    }

    /// Sends a bulk on its way.
    pub fn launch(&mut self, bulk: Bulk) {
        self.launched += 1;
        let number = self.launched;
        let (shared, runway) = (Rc::clone(&self.shared), Rc::clone(&self.runway));
        let (records, firsts) = (bulk.items.len(), bulk.firsts.clone());
        let ids = bulk.ids.iter().copied().collect();
        let task = rt::spawn(async move {
            let flown = rt::spawn_caught(async move {
                let mut refused = Vec::new();
                let outcome = deliver(&shared, &bulk, &mut refused).await;
                Landed { bulk, refused, outcome, number }
            });
            let landed = flown.await.unwrap_or_else(|panic| Landed {
                bulk: Bulk::default(),
                refused: Vec::new(),
                outcome: Err(Broken::Request(format!("a delivery panicked: {panic}"))),
                number,
            });
            runway.landed.borrow_mut().push(landed);
            runway.news.notify_one();
        });
        self.flights.push(Flight { number, records, firsts, ids, _task: task });
    }

    /// Takes a bulk that has ended, if there is one; it counts as under way until [`Self::done`].
    pub fn land(&mut self) -> Option<Landed> {
        self.runway.landed.borrow_mut().pop()
    }

    /// Everything that the bulk of that number held is dealt with.
    pub fn done(&mut self, number: u64) {
        self.flights.retain(|flight| flight.number != number);
    }

    /// Waits until a bulk has ended.
    pub async fn news(&self, limit: Duration) {
        if self.runway.landed.borrow().is_empty() {
            let _ = rt::timeout(limit, self.runway.news.notified()).await;
        }
    }

    pub fn trouble(&self) -> Option<String> {
        self.shared.trouble.borrow().clone()
    }
}
