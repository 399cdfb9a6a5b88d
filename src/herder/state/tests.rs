//! The state machine, driven by hand.

use super::*;

const GRACEFUL: Duration = Duration::from_secs(5);

fn config(text: &str) -> Config {
    Config::from([("x".to_owned(), text.to_owned())])
}

fn definition(text: &str) -> Definition {
    Definition {
        config: Arc::new(config(text)),
        sink: true,
        version: "1",
        tasks_max: 2,
        enforce: true,
    }
}

struct Rig {
    state: State,
    now: Instant,
}

impl Rig {
    fn new() -> Self {
        Self { state: State::new(GRACEFUL, "w:1".into()), now: Instant::now() }
    }

    /// A connector with two running tasks.
    fn running() -> Self {
        let mut rig = Self::new();
        rig.state.put("c", definition("1"), None, 1);
        rig.plan(2);
        let started = rig.started();
        assert_eq!(started.len(), 2);
        for (id, generation) in started {
            rig.report(&id, generation, TaskState::Running);
        }
        rig
    }

    /// Answers the last start of a connector with a plan of `count` tasks.
    fn plan(&mut self, count: usize) -> Vec<Decision> {
        let decisions = self.state.take_decisions();
        let life = decisions.iter().find_map(|decision| match decision {
            Decision::StartConnector { life, .. } => Some(*life),
            _ => None,
        });
        let life = life.unwrap_or_else(|| panic!("no start in {decisions:?}"));
        self.state.planned("c", life, Ok(vec![config("task"); count]), self.now);
        decisions
    }

    fn started(&mut self) -> Vec<(TaskId, u64)> {
        let decisions = self.state.take_decisions();
        let start = |decision| match decision {
            Decision::StartTask { id, generation, .. } => Some((id, generation)),
            _ => None,
        };
        decisions.into_iter().filter_map(start).collect()
    }

    fn report(&mut self, id: &TaskId, generation: u64, state: TaskState) {
        self.state.report(Report::State { id: id.clone(), generation, state });
    }

    fn generation(&self, task: usize) -> (TaskId, u64) {
        let task = &self.state.connectors["c"].tasks[task];
        (task.id.clone(), task.generation)
    }

    fn states(&self) -> Vec<&'static str> {
        let status = self.state.status("c").unwrap();
        let tasks = status.tasks.iter().map(|task| task.state);
        std::iter::once(status.connector.state).chain(tasks).collect()
    }
}

#[test]
fn a_put_is_answered_when_the_plan_is_made() {
    let mut rig = Rig::new();
    rig.state.put("c", definition("1"), None, 7);
    assert_eq!(rig.states(), ["UNASSIGNED"]);
    rig.plan(2);
    let decisions = rig.state.take_decisions();
    assert!(matches!(
        decisions[..],
        [Decision::StartTask { .. }, Decision::StartTask { .. }, Decision::Answer(7, Ok(()))]
    ));
    assert_eq!(rig.states(), ["RUNNING", "UNASSIGNED", "UNASSIGNED"]);
    assert_eq!(rig.state.info("c").unwrap().tasks.len(), 2);
}

#[test]
fn a_failed_plan_fails_the_connector_and_the_put() {
    let mut rig = Rig::new();
    rig.state.put("c", definition("1"), None, 7);
    rig.state.planned("c", 1, Err("E: no disk\nat x".to_owned()), rig.now);
    let decisions = rig.state.take_decisions();
    let Some(Decision::Answer(7, Err(error))) = decisions.last() else { panic!("{decisions:?}") };
    assert!(error.message.ends_with("no disk"), "{error}");
    let status = rig.state.status("c").unwrap();
    assert_eq!((status.connector.state, status.connector.trace.as_deref()), {
        ("FAILED", Some("E: no disk\nat x"))
    });
    // Only a restart helps.
    rig.state.set_target("c", TargetState::Paused).unwrap();
    rig.state.set_target("c", TargetState::Started).unwrap();
    assert_eq!(rig.state.take_decisions(), []);
    rig.state.restart_connector("c", 8).unwrap();
    rig.plan(1);
    assert_eq!(rig.states()[0], "RUNNING");
}

#[test]
fn more_tasks_than_allowed_fail_unless_that_is_not_enforced() {
    let mut rig = Rig::new();
    rig.state.put("c", definition("1"), None, 1);
    rig.plan(3);
    assert_eq!(rig.states(), ["FAILED"]);
    rig.state.put("c", Definition { enforce: false, ..definition("1") }, None, 2);
    rig.plan(3);
    assert_eq!(rig.state.tasks("c").unwrap().len(), 3);
}

#[test]
fn an_old_life_and_an_old_generation_are_ignored() {
    let mut rig = Rig::running();
    let (id, generation) = rig.generation(0);
    rig.state.planned("c", 0, Err("late".to_owned()), rig.now);
    rig.report(&id, generation - 1, TaskState::Failed("late".to_owned()));
    assert_eq!(rig.states(), ["RUNNING", "RUNNING", "RUNNING"]);
}

#[test]
fn a_task_restarts_only_when_its_old_generation_has_ended() {
    let mut rig = Rig::running();
    let (id, old) = rig.generation(1);
    rig.state.restart_task("c", 1, rig.now).unwrap();
    assert_eq!(rig.state.take_decisions(), [Decision::StopTask(id.clone())]);
    rig.report(&id, old, TaskState::Running);
    assert_eq!(rig.started(), []);
    rig.report(&id, old, TaskState::Unassigned);
    let started = rig.started();
    assert_eq!(started.len(), 1);
    assert!(started[0].1 > old);
    assert!(rig.state.restart_task("c", 9, rig.now).is_err());
}

#[test]
fn a_failed_task_gives_its_place_back_and_restarts_at_once() {
    let mut rig = Rig::running();
    let (id, generation) = rig.generation(0);
    rig.report(&id, generation, TaskState::Failed("boom".to_owned()));
    assert_eq!(rig.states(), ["RUNNING", "FAILED", "RUNNING"]);
    let scope = RestartScope { include_tasks: true, only_failed: true };
    let status = rig.state.restart("c", scope, rig.now).unwrap();
    assert_eq!(status.connector.state, "RUNNING");
    assert_eq!(status.tasks[0].state, "RESTARTING");
    assert_eq!(status.tasks[0].trace, None);
    assert_eq!(status.tasks[1].state, "RUNNING");
    let decisions = rig.state.take_decisions();
    assert_eq!(decisions[0], Decision::StopTask(id.clone()));
    assert!(matches!(&decisions[1], Decision::StartTask { id: again, .. } if *again == id));
    assert_eq!(decisions.len(), 2);
}

#[test]
fn a_task_that_does_not_stop_is_given_up_on() {
    let mut rig = Rig::running();
    let (id, _) = rig.generation(0);
    rig.state.restart_task("c", 0, rig.now).unwrap();
    rig.state.take_decisions();
    let due = rig.state.next_deadline().unwrap();
    assert_eq!(due, rig.now + GRACEFUL);
    rig.state.expire(due - Duration::from_millis(1));
    assert_eq!(rig.state.take_decisions(), []);
    rig.state.expire(due);
    let decisions = rig.state.take_decisions();
    assert_eq!(decisions[0], Decision::GaveUpOn(id));
    assert!(matches!(decisions[1], Decision::StartTask { .. }));
    assert_eq!(rig.state.next_deadline(), None);
}

#[test]
fn the_same_configuration_keeps_the_tasks_and_another_replaces_them() {
    let mut rig = Rig::running();
    rig.state.put("c", definition("1"), None, 2);
    rig.plan(2);
    assert_eq!(rig.state.take_decisions(), [Decision::Answer(2, Ok(()))]);
    // The same plan, but a setting that only the framework reads changed.
    rig.state.put("c", definition("2"), None, 3);
    rig.plan(2);
    let stopped = rig.state.take_decisions();
    assert_eq!(stopped.iter().filter(|d| matches!(d, Decision::StopTask(_))).count(), 2);
    let old: Vec<_> = rig.state.stopping.iter().map(|(id, (g, _))| (id.clone(), *g)).collect();
    for (id, generation) in old {
        rig.report(&id, generation, TaskState::Unassigned);
    }
    assert_eq!(rig.started().len(), 2);
}

#[test]
fn pause_and_resume_pass_on_to_the_tasks() {
    let mut rig = Rig::running();
    rig.state.set_target("c", TargetState::Paused).unwrap();
    let decisions = rig.state.take_decisions();
    assert!(matches!(
        decisions[..],
        [Decision::PauseTask(_), Decision::PauseTask(_), Decision::StopConnector { .. }]
    ));
    assert_eq!(rig.states()[0], "PAUSED");
    rig.state.set_target("c", TargetState::Started).unwrap();
    let decisions = rig.plan(2);
    assert_eq!(decisions.iter().filter(|d| matches!(d, Decision::ResumeTask(_))).count(), 2);
    // The plan is the same: the tasks stay.
    assert_eq!(rig.started(), []);
    assert!(rig.state.set_target("nope", TargetState::Paused).is_err());
}

#[test]
fn a_stop_is_answered_when_the_tasks_are_gone() {
    let mut rig = Rig::running();
    let tasks = [rig.generation(0), rig.generation(1)];
    rig.state.stop("c", 5, rig.now).unwrap();
    assert_eq!(rig.states(), ["STOPPED"]);
    assert!(!rig.state.is_at_rest("c"));
    let answer = Decision::Answer(5, Ok(()));
    assert!(!rig.state.take_decisions().contains(&answer));
    for (id, generation) in &tasks {
        assert_eq!(rig.state.take_decisions(), []);
        rig.report(id, *generation, TaskState::Unassigned);
    }
    assert_eq!(rig.state.take_decisions(), [answer]);
    assert!(rig.state.is_at_rest("c"));
    // Resumed, it plans and starts anew.
    rig.state.set_target("c", TargetState::Started).unwrap();
    rig.plan(2);
    assert_eq!(rig.started().len(), 2);
}

#[test]
fn a_deleted_connector_may_come_back_before_its_tasks_are_gone() {
    let mut rig = Rig::running();
    let tasks = [rig.generation(0), rig.generation(1)];
    rig.state.delete("c", 5, rig.now).unwrap();
    assert!(rig.state.status("c").is_none());
    rig.state.put("c", definition("1"), None, 6);
    rig.plan(1);
    assert_eq!(rig.started(), []);
    for (id, generation) in &tasks {
        rig.report(id, *generation, TaskState::Unassigned);
    }
    let decisions = rig.state.take_decisions();
    assert!(matches!(&decisions[0], Decision::StartTask { id, .. } if id.task == 0));
    assert_eq!(decisions[1], Decision::Answer(5, Ok(())));
    assert_eq!(rig.state.delete("nope", 7, rig.now).unwrap_err().message, {
        "Connector nope not found"
    });
}

#[test]
fn an_initial_state_holds_from_the_start() {
    let mut rig = Rig::new();
    rig.state.put("c", definition("1"), Some(TargetState::Stopped), 1);
    assert!(rig.state.take_decisions().contains(&Decision::Answer(1, Ok(()))));
    assert_eq!(rig.states(), ["STOPPED"]);
    assert!(rig.state.is_at_rest("c"));
}

#[test]
fn topics_are_those_that_moved_since_the_reset() {
    let mut rig = Rig::running();
    let (id, generation) = rig.generation(0);
    let progress = |records_in, next| Report::Progress {
        id: id.clone(),
        generation,
        progress: Progress {
            records_in,
            partitions: [(("t".to_owned(), 0), (next, -1)), (("u".to_owned(), 0), (0, -1))].into(),
            ..Progress::default()
        },
    };
    rig.state.report(progress(5, 5));
    assert_eq!(rig.state.topics("c"), ["t"]);
    rig.state.reset_topics("c");
    rig.state.report(progress(5, 5));
    assert!(rig.state.topics("c").is_empty());
    rig.state.report(progress(6, 6));
    assert_eq!(rig.state.topics("c"), ["t"]);
    let what = Some("broker away".to_owned());
    rig.state.report(Report::Trouble { id: id.clone(), generation, what: what.clone() });
    let shown = &rig.state.progress("c").unwrap()[&0];
    assert_eq!((shown.progress.records_in, &shown.trouble), (6, &what));
}

proptest::proptest! {
    /// Whatever happens in whatever order: no task is started while an earlier generation of it may
    /// still run, and every question gets exactly one answer in the end.
    #[test]
    fn no_task_runs_twice(events in proptest::collection::vec((0_u8..9, 0_u8..4), 1..80)) {
        let mut rig = Rig::new();
        let mut running = BTreeMap::<TaskId, u64>::new();
        let mut lives = Vec::new();
        let mut asked = BTreeSet::new();
        let mut token = 0;
        for (event, detail) in events {
            token += 1;
            let task = u32::from(detail);
            let accepted = match event {
                0 => {
                    rig.state.put("c", definition(["1", "2"][usize::from(detail % 2)]), None, token);
                    true
                }
                1 => rig.state.delete("c", token, rig.now).is_ok(),
                2 => rig.state.stop("c", token, rig.now).is_ok(),
                3 => rig.state.restart_connector("c", token).is_ok(),
                4 => {
                    let _ = rig.state.restart_task("c", task, rig.now);
                    false
                }
                5 => {
                    let _ = rig.state.set_target("c", TargetState::Paused);
                    false
                }
                6 => {
                    let _ = rig.state.set_target("c", TargetState::Started);
                    false
                }
                7 => {
                    if let Some(life) = lives.pop() {
                        rig.state.planned("c", life, Ok(vec![config("t"); 2]), rig.now);
                    }
                    false
                }
                _ => {
                    let stopped = rig.state.stopping.iter().next().map(|(id, (g, _))| (id.clone(), *g));
                    if let Some((id, generation)) = stopped {
                        running.remove(&id);
                        rig.report(&id, generation, TaskState::Unassigned);
                    }
                    false
                }
            };
            if accepted {
                asked.insert(token);
            }
            for decision in rig.state.take_decisions() {
                match decision {
                    Decision::StartTask { id, generation, .. } => {
                        let before = running.insert(id, generation);
                        proptest::prop_assert_eq!(before, None);
                    }
                    Decision::StartConnector { life, .. } => lives.push(life),
                    Decision::Answer(token, _) => proptest::prop_assert!(asked.remove(&token)),
                    _ => {}
                }
            }
        }
        // Let everything come to rest.
        for life in lives {
            rig.state.planned("c", life, Ok(Vec::new()), rig.now);
        }
        rig.state.expire(rig.now + GRACEFUL);
        for decision in rig.state.take_decisions() {
            if let Decision::Answer(token, _) = decision {
                proptest::prop_assert!(asked.remove(&token));
            }
        }
        proptest::prop_assert!(asked.is_empty(), "unanswered: {:?}", asked);
    }
}
