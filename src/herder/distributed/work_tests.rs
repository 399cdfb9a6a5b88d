//! Starts, stops and targets of what runs on one worker.

use super::*;

const GRACEFUL: Duration = Duration::from_secs(5);

fn name(text: &str) -> Arc<str> {
    text.into()
}

fn config(text: &str) -> Arc<Config> {
    Arc::new(Config::from([("a".to_owned(), text.to_owned())]))
}

fn id(task: u32) -> TaskId {
    TaskId { connector: name("c"), task }
}

fn recipe(text: &str) -> Recipe {
    Recipe { connector: config("c"), task: config(text), task_generation: None }
}

fn generation(deeds: &[Deed]) -> u64 {
    let of = |deed: &Deed| match deed {
        Deed::StartTask { generation, .. } => Some(*generation),
        _ => None,
    };
    deeds.iter().find_map(of).expect("a task was started")
}

fn life(deeds: &[Deed]) -> u64 {
    let of = |deed: &Deed| match deed {
        Deed::StartConnector { life, .. } => Some(*life),
        _ => None,
    };
    deeds.iter().find_map(of).expect("a connector was started")
}

fn statuses(deeds: &[Deed]) -> Vec<&'static str> {
    let of = |deed: &Deed| match deed {
        Deed::Status { state, .. } => Some(*state),
        _ => None,
    };
    deeds.iter().filter_map(of).collect()
}

fn state(id: TaskId, generation: u64, state: TaskState) -> Report {
    Report::State { id, generation, state }
}

fn running() -> (Work, u64, Instant) {
    let mut work = Work::new(GRACEFUL);
    work.start_task(&id(0), recipe("1"), TargetState::Started);
    let generation = generation(&work.take_deeds());
    work.report(state(id(0), generation, TaskState::Running));
    assert_eq!(statuses(&work.take_deeds()), ["RUNNING"]);
    (work, generation, Instant::now())
}

#[test]
fn an_instance_plans_and_its_end_is_told() {
    let mut work = Work::new(GRACEFUL);
    let now = Instant::now();
    work.start_connector(&name("c"), config("1"), TargetState::Started, Some(7));
    let life = life(&work.take_deeds());
    let tasks = vec![(*config("t")).clone()];
    work.planned(&name("c"), life + 1, Ok(tasks.clone()));
    assert!(work.take_deeds().is_empty(), "another life's plan is of no interest");
    work.planned(&name("c"), life, Ok(tasks.clone()));
    let deeds = work.take_deeds();
    assert_eq!(statuses(&deeds), ["RUNNING"]);
    assert!(deeds.contains(&Deed::Answer(7, Ok(()))));
    assert!(deeds.contains(&Deed::Publish { name: name("c"), tasks }));
    assert!(work.is_current("c", &config("1")) && !work.is_current("c", &config("2")));
    work.stop_connector(&name("c"), now);
    assert_eq!(work.take_deeds(), [Deed::StopConnector { name: name("c") }]);
    let all = ConnectorsAndTasks { connectors: vec![name("c")], tasks: Vec::new() };
    assert!(work.is_leaving(&all) && !work.is_settled());
    work.connector_ended(&name("c"), life);
    assert_eq!(statuses(&work.take_deeds()), ["UNASSIGNED"]);
    assert!(!work.is_leaving(&all));
}

#[test]
fn a_failed_instance_stays_failed_until_it_is_started_anew() {
    let mut work = Work::new(GRACEFUL);
    work.start_connector(&name("c"), config("1"), TargetState::Started, Some(7));
    let first = life(&work.take_deeds());
    work.planned(&name("c"), first, Err("java.lang.Error: no\n\tat x".to_owned()));
    let deeds = work.take_deeds();
    assert_eq!(statuses(&deeds), ["FAILED"]);
    let said = "Failed to transition connector c to state STARTED: java.lang.Error: no";
    assert!(deeds.contains(&Deed::Answer(7, Err(HerderError::internal(said)))));
    work.set_target(&name("c"), TargetState::Paused, config("1"));
    assert!(work.take_deeds().is_empty());
    work.start_connector(&name("c"), config("2"), TargetState::Started, None);
    assert!(life(&work.take_deeds()) > first);
}

#[test]
fn pausing_rests_the_instance_and_its_tasks() {
    let (mut work, generation, _) = running();
    work.start_connector(&name("c"), config("1"), TargetState::Started, None);
    work.take_deeds();
    work.set_target(&name("c"), TargetState::Paused, config("1"));
    let deeds = work.take_deeds();
    assert_eq!(statuses(&deeds), ["PAUSED"]);
    assert!(deeds.contains(&Deed::PauseTask(id(0))));
    work.report(state(id(0), generation, TaskState::Paused));
    assert_eq!(statuses(&work.take_deeds()), ["PAUSED"]);
    work.set_target(&name("c"), TargetState::Paused, config("1"));
    assert!(work.take_deeds().is_empty(), "as it is already");
    // The tasks of a stopped connector go by the group.
    work.set_target(&name("c"), TargetState::Stopped, config("1"));
    assert_eq!(statuses(&work.take_deeds()), ["STOPPED"]);
    work.set_target(&name("c"), TargetState::Started, config("1"));
    let deeds = work.take_deeds();
    assert!(deeds.contains(&Deed::ResumeTask(id(0))));
    life(&deeds);
}

#[test]
fn a_task_starts_when_its_earlier_generation_has_ended() {
    let (mut work, first, now) = running();
    work.restart_task(&id(0), now);
    assert_eq!(work.take_deeds(), [Deed::StopTask(id(0))]);
    work.report(state(id(0), first, TaskState::Unassigned));
    let deeds = work.take_deeds();
    assert_eq!(statuses(&deeds), ["UNASSIGNED"]);
    let second = generation(&deeds);
    work.report(state(id(0), first, TaskState::Failed("late".to_owned())));
    assert!(work.take_deeds().is_empty(), "an old life's word");
    // One that does not end is given up on, and nothing is told of it.
    work.restart_task(&id(0), now);
    work.take_deeds();
    assert_eq!(work.next_deadline(), Some(now + GRACEFUL));
    work.expire(now + GRACEFUL);
    let deeds = work.take_deeds();
    assert!(deeds.contains(&Deed::GaveUpOn(id(0))) && statuses(&deeds).is_empty());
    assert!(generation(&deeds) > second);
}

#[test]
fn a_task_that_failed_is_stopped_at_once() {
    let (mut work, generation, now) = running();
    work.report(state(id(0), generation, TaskState::Failed("why".to_owned())));
    assert_eq!(statuses(&work.take_deeds()), ["FAILED"]);
    work.stop_task(&id(0), now);
    let deeds = work.take_deeds();
    assert!(deeds.contains(&Deed::StopTask(id(0))));
    assert_eq!(statuses(&deeds), ["UNASSIGNED"]);
    assert!(work.is_settled());
    assert_eq!((work.starts().tasks.succeeded, work.starts().tasks.failed), (1, 0));
}

#[test]
fn topics_are_told_as_they_are_used() {
    let (mut work, generation, _) = running();
    let progress = |counts: &[(&str, i64)]| Report::Progress {
        id: id(0),
        generation,
        progress: Progress {
            partitions: counts
                .iter()
                .map(|(topic, next)| (((*topic).to_owned(), 0), (*next, -1)))
                .collect(),
            ..Progress::default()
        },
    };
    let mut told = |counts: &[(&str, i64)]| {
        work.report(progress(counts));
        let topics = |deed| match deed {
            Deed::Topics { topics, .. } => topics.into_iter().collect::<Vec<_>>(),
            _ => Vec::new(),
        };
        work.take_deeds().into_iter().flat_map(topics).collect::<Vec<_>>()
    };
    assert!(told(&[("t", 0)]).is_empty());
    assert_eq!(told(&[("t", 1), ("u", 0)]), ["t"]);
    assert!(told(&[("t", 1)]).is_empty());
    assert_eq!(told(&[("t", 2), ("v", 3)]), ["t", "v"]);
    // At last, too, and nothing that was told before.
    work.stop_task(&id(0), Instant::now());
    work.take_deeds();
    work.report(progress(&[("t", 2), ("v", 3), ("w", 1)]));
    let topics = |deed| match deed {
        Deed::Topics { topics, .. } => topics.into_iter().collect::<Vec<_>>(),
        _ => Vec::new(),
    };
    let last: Vec<_> = work.take_deeds().into_iter().flat_map(topics).collect();
    assert_eq!(last, ["w"]);
}
