//! Where converters' questions to a schema registry are answered, and those of transforms to tables
//! that have their rows elsewhere.
//!
//! A converter asks its [`Desk`] and, where the answer is not known, fails its record as retriable;
//! the task then has the question answered ([`Desks::settle`]), without holding its core, and
//! brings the record again. Answers are shared by all cores of the process: what one task was told
//! no other asks again, and of tasks that want the same thing at the same time one goes.

mod client;
mod config;

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use millrace_api::error::ConnectError;
use millrace_api::table::{AskError, TableSource, TableUse};
use millrace_converters::registry::{Answer, Question, RegistrySettings, SchemaSource};
use millrace_converters::{Converter, DataError};
use millrace_net::account::aside;
use millrace_net::{offload, rt};

use crate::control::{Control, HEARING};
use crate::error_policy::ErrorPolicy;
use crate::plan::Step;
use crate::reporter::Reporter;
use client::RegistryClient;
pub(crate) use client::Unanswered;
use config::RegistryConfig;

/// How long a refusal holds: records that share a bad id need not all ask.
const REFUSED_FOR: Duration = Duration::from_secs(5);

/// Answers kept for one registry; when there are more, all are forgotten.
const MOST_ANSWERS: usize = 20_000;

/// How long a question may be on its way before another task asks it, too: longer than the client
/// waits. Whoever asked first may have lost its core.
const ASKED_FOR: Duration = Duration::from_secs(60);

/// How often a task looks whether the answer that another waits for is there.
const LOOK: Duration = Duration::from_millis(5);

/// What is known of one registry, for all cores. Looked at only for schemas that a converter does
/// not know yet.
#[derive(Default)]
struct Known {
    answers: HashMap<Question, Arc<Answer>>,
    refusals: HashMap<Question, (DataError, Instant)>,
    /// Questions that are on their way, and since when.
    asked: HashMap<Question, Instant>,
}

type Shared = Arc<Mutex<Known>>;

static REGISTRIES: Mutex<Vec<(RegistrySettings, Weak<Mutex<Known>>)>> = Mutex::new(Vec::new());

fn open<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    // What it guards is whole after each statement.
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The answers of that registry that the process has; made when its first converter comes, gone
/// with its last.
fn shared(settings: &RegistrySettings) -> Shared {
    // What all cores share is nobody's, and nothing may stop this one within the lock; here and below.
    aside(|| {
        let mut all = open(&REGISTRIES);
        all.retain(|(_, known)| known.strong_count() > 0);
        let found = all.iter().find(|(of, _)| of == settings);
        if let Some(known) = found.and_then(|(_, known)| known.upgrade()) {
            return known;
        }
        let known = Shared::default();
        all.push((settings.clone(), Arc::downgrade(&known)));
        known
    })
}

/// One converter's end.
struct Desk {
    known: Shared,
    wanted: RefCell<Option<Question>>,
}

impl SchemaSource for Desk {
    fn ask(&self, question: &Question) -> Option<Result<Arc<Answer>, DataError>> {
        let known = aside(|| {
            let known = open(&self.known);
            if let Some(answer) = known.answers.get(question) {
                return Some(Ok(Arc::clone(answer)));
            }
            let refused = known.refusals.get(question);
            let holds = refused.filter(|(_, at)| at.elapsed() < REFUSED_FOR);
            holds.map(|(refusal, _)| Err(refusal.clone()))
        });
        if known.is_none() {
            *self.wanted.borrow_mut() = Some(question.clone());
        }
        known
    }
}

/// The desks of a task's converters, each with the way to its registry; and the tables whose rows
/// are asked for one by one, which is the same thing to a record that waits.
#[derive(Default)]
pub(crate) struct Desks {
    registries: Vec<(Rc<Desk>, Registry)>,
    tables: Vec<TableUse>,
}

impl Desks {
    /// Gives `converter` a desk if it needs one.
    pub fn attach(&mut self, converter: &mut dyn Converter) {
        let Some(settings) = converter.registry().cloned() else { return };
        let known = shared(&settings);
        let desk = Rc::new(Desk { known: Arc::clone(&known), wanted: RefCell::default() });
        converter.attach(Rc::clone(&desk) as Rc<dyn SchemaSource>);
        self.registries.push((desk, Registry { settings, known, client: RefCell::default() }));
    }

    /// Takes on the tables of the transforms.
    pub fn attach_tables(&mut self, steps: &[Step]) {
        let used = steps.iter().filter_map(|step| step.transformation.table());
        self.tables = used.filter(|used| *used.table.source() == TableSource::Asked).collect();
    }

    /// A transform's record failed for want of a row. Others close behind it may want some, too:
    /// whoever runs the chain may show it those, and what comes of that does not count.
    pub fn want_rows(&self) -> bool {
        self.tables.iter().any(|used| used.table.wants())
    }

    /// What the transforms counted so far; see [`Self::want_rows`].
    pub fn lookups(&self) -> Vec<(u64, u64)> {
        let counted = |used: &TableUse| (used.lookups.hits.get(), used.lookups.misses.get());
        self.tables.iter().map(counted).collect()
    }

    /// Forgets what they counted since.
    pub fn forget_lookups(&self, before: &[(u64, u64)]) {
        for (used, (hits, misses)) in self.tables.iter().zip(before) {
            used.lookups.hits.set(*hits);
            used.lookups.misses.set(*misses);
        }
    }

    /// Opens what the registries need: key stores are read, keys are checked.
    pub fn check(&self) -> Result<(), ConnectError> {
        for (_, registry) in &self.registries {
            registry.client().map_err(ConnectError::fatal)?;
        }
        Ok(())
    }

    /// Whether a record failed for want of an answer.
    pub fn want(&self) -> bool {
        self.registries.iter().any(|(desk, _)| desk.wanted.borrow().is_some()) || self.want_rows()
    }

    /// Has every open question answered. A refusal is an answer, too: the converter hears of it when
    /// it asks again. `None`: the task is to stop.
    pub async fn settle(&self, control: &Control) -> Option<Result<(), Unanswered>> {
        // Rare and large: not part of every task's future.
        let mut settled = Box::pin(self.settle_all());
        loop {
            match rt::timeout(HEARING, settled.as_mut()).await {
                Ok(outcome) => return Some(outcome),
                Err(_) if control.stopping() => return None,
                Err(_) => {}
            }
        }
    }

    async fn settle_all(&self) -> Result<(), Unanswered> {
        for (desk, registry) in &self.registries {
            let wanted = desk.wanted.borrow_mut().take();
            let Some(question) = wanted else { continue };
            let settled = registry.settle(question.clone()).await;
            if settled.is_err() {
                *desk.wanted.borrow_mut() = Some(question);
                return settled;
            }
        }
        for used in self.tables.iter().filter(|used| used.table.wants()) {
            let asked = offload::run(used.table.asking()).await;
            let asked = asked.map_err(|error| Unanswered::Away(error.to_string()))?;
            let rows = asked.map_err(unanswered)?;
            // The table is the core's: tasks share it, and it has a bound of its own.
            aside(|| used.table.install(rows));
        }
        Ok(())
    }

    /// As [`Self::settle`], for somebody who is on no core and may block.
    pub fn settle_blocking(&self) -> Result<(), Unanswered> {
        for used in self.tables.iter().filter(|used| used.table.wants()) {
            used.table.ask_now().map_err(unanswered)?;
        }
        for (desk, registry) in &self.registries {
            let Some(question) = desk.wanted.borrow_mut().take() else { continue };
            let settings = registry.settings.clone();
            let (done, outcome) = flume::bounded(1);
            let options = rt::CoreOptions::new("registry", None);
            let core = rt::start_core(options, move || async move {
                let known = shared(&settings);
                let registry = Registry { settings, known, client: RefCell::default() };
                let _ = done.send(registry.settle(question).await);
            });
            let core = core.map_err(|error| Unanswered::Hopeless(error.to_string()))?;
            core.join().map_err(Unanswered::Hopeless)?;
            outcome.recv().unwrap_or_else(|error| Err(Unanswered::Hopeless(error.to_string())))?;
        }
        Ok(())
    }
}

fn unanswered(error: AskError) -> Unanswered {
    match error {
        AskError::Away(why) => Unanswered::Away(why),
        AskError::Hopeless(why) => Unanswered::Hopeless(why),
    }
}

/// How long a task waits for a registry that is away, and how it stays answerable meanwhile.
pub(crate) struct Patience<'t> {
    pub policy: &'t ErrorPolicy,
    pub control: &'t Control,
    pub reporter: &'t Reporter,
}

impl Patience<'_> {
    /// Has every open question answered.
    ///
    /// # Errors
    /// Retriable: the task is to stop, or `errors.retry.timeout` is over. Fatal: nothing will come of
    /// trying again.
    pub async fn settle(&self, desks: &Desks) -> Result<(), ConnectError> {
        let started = Instant::now();
        let mut attempts = 0;
        loop {
            let why = match desks.settle(self.control).await {
                Some(Ok(())) => break,
                Some(Err(Unanswered::Away(why))) => why,
                Some(Err(other)) => return Err(ConnectError::fatal(other.into_data().message)),
                None => return Err(ConnectError::retriable("the task is to stop")),
            };
            attempts += 1;
            self.reporter.trouble(Some(why.clone()));
            let Some(delay) = self.policy.registry_delay(attempts, started) else {
                // Not `Retriable`, which would have nobody to retry it.
                return Err(ConnectError {
                    class: ConnectError::RETRIABLE,
                    ..ConnectError::fatal(format!("{why}; errors.retry.timeout is over"))
                });
            };
            self.policy.tried_again();
            if !self.control.sleep(delay).await {
                return Err(ConnectError::retriable(why));
            }
        }
        if attempts > 0 {
            self.reporter.trouble(None);
        }
        Ok(())
    }
}

/// The way to one registry.
struct Registry {
    settings: RegistrySettings,
    known: Shared,
    /// Made when it is needed.
    client: RefCell<Option<Rc<RegistryClient>>>,
}

/// Takes a question off the list of those under way, whatever became of it.
struct Asking<'r> {
    known: &'r Shared,
    question: &'r Question,
    since: Instant,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let mut known = open(self.known);
        if known.asked.get(self.question) == Some(&self.since) {
            known.asked.remove(self.question);
        }
    }
}

impl Registry {
    fn client(&self) -> Result<Rc<RegistryClient>, String> {
        let mut client = self.client.borrow_mut();
        if let Some(client) = &*client {
            return Ok(Rc::clone(client));
        }
        let config = RegistryConfig::parse(&self.settings).map_err(|problems| {
            let all: Vec<String> = problems.iter().map(ToString::to_string).collect();
            all.join("; ")
        })?;
        Ok(Rc::clone(client.insert(Rc::new(RegistryClient::new(config)))))
    }

    async fn settle(&self, question: Question) -> Result<(), Unanswered> {
        let since = loop {
            let now = Instant::now();
            if open(&self.known).answers.contains_key(&question) {
                return Ok(());
            }
            let mine = aside(|| {
                let mut known = open(&self.known);
                let asked = known.asked.get(&question);
                let mine = asked.is_none_or(|since| now.duration_since(*since) > ASKED_FOR);
                if mine {
                    known.asked.insert(question.clone(), now);
                }
                mine
            });
            if mine {
                break now;
            }
            // Somebody else asks already.
            rt::sleep(LOOK).await;
        };
        let _asking = Asking { known: &self.known, question: &question, since };
        let client = self.client().map_err(Unanswered::Hopeless)?;
        let outcome = client.answer(&question).await;
        aside(|| self.learn(question.clone(), outcome))
    }

    /// Takes note of what the registry said, for all.
    fn learn(
        &self,
        question: Question,
        outcome: Result<Answer, Unanswered>,
    ) -> Result<(), Unanswered> {
        let mut known = open(&self.known);
        if known.answers.len() + known.refusals.len() >= MOST_ANSWERS {
            known.answers.clear();
            known.refusals.clear();
        }
        known.refusals.remove(&question);
        match outcome {
            Ok(answer) => {
                known.answers.insert(question, Arc::new(answer));
                Ok(())
            }
            Err(Unanswered::Refused(error)) => {
                known.refusals.insert(question, (error, Instant::now()));
                Ok(())
            }
            Err(other) => Err(other),
        }
    }
}
