//! A whole herder over a recorder instead of the engine: what it would start and stop on the cores
//! is recorded, and the cores' reports are sent by the test.

use super::*;
use crate::requests::OffsetChange;
use crate::rig::plugins;
use millrace_api::source::offsets::Scalar;

const LIMIT: Duration = Duration::from_secs(20);

#[derive(Debug, PartialEq)]
enum Recorded {
    Start(String, TargetState),
    Stop(String),
    Pause(String),
    Resume(String),
}

struct Recorder {
    calls: flume::Sender<Recorded>,
    specs: flume::Sender<TaskSpec>,
    reports: flume::Sender<Report>,
    running: HashMap<TaskId, u64>,
}

impl TaskRunner for Recorder {
    fn start_task(&mut self, spec: TaskSpec) {
        let (id, generation) = (spec.id.clone(), spec.generation);
        self.calls.send(Recorded::Start(id.to_string(), spec.target)).unwrap();
        self.running.insert(id.clone(), generation);
        self.specs.send(spec).unwrap();
        self.reports.send(Report::State { id, generation, state: TaskState::Running }).unwrap();
    }

    fn stop_task(&mut self, id: &TaskId) {
        self.calls.send(Recorded::Stop(id.to_string())).unwrap();
        if let Some(generation) = self.running.remove(id) {
            let (id, state) = (id.clone(), TaskState::Unassigned);
            self.reports.send(Report::State { id, generation, state }).unwrap();
        }
    }

    fn pause_task(&mut self, id: &TaskId) {
        self.calls.send(Recorded::Pause(id.to_string())).unwrap();
    }

    fn resume_task(&mut self, id: &TaskId) {
        self.calls.send(Recorded::Resume(id.to_string())).unwrap();
    }

    fn shutdown(self: Box<Self>) {}
}

struct Rig {
    herder: HerderHandle,
    calls: flume::Receiver<Recorded>,
    specs: flume::Receiver<TaskSpec>,
    reports: flume::Sender<Report>,
    folder: tempfile::TempDir,
}

fn config(pairs: &[(&str, &str)]) -> Config {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

impl Rig {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("secrets"), "pw=hush").unwrap();
        let file = config(&[
            ("bootstrap.servers", "localhost:9092"),
            ("key.converter", "TextConverter"),
            ("value.converter", "TextConverter"),
            ("offset.storage.file.filename", &folder.path().join("offsets").display().to_string()),
            ("config.providers", "file"),
            ("config.providers.file.class", "FileConfigProvider"),
        ]);
        let worker = WorkerConfig::standalone(file, &plugins()).unwrap();
        let (reports, reports_inbox) = flume::unbounded();
        let (calls_sender, calls) = flume::unbounded();
        let (specs_sender, specs) = flume::unbounded();
        let recorder = Recorder {
            calls: calls_sender,
            specs: specs_sender,
            reports: reports.clone(),
            running: HashMap::new(),
        };
        let runner = Box::new(recorder);
        let herder = StandaloneHerder::start(worker, plugins(), runner, reports_inbox).unwrap();
        Self { herder, calls, specs, reports, folder }
    }

    fn call<T>(&self, question: impl FnOnce(Reply<T>) -> Request) -> Answer<T> {
        self.herder.mailbox.call(LIMIT, question)
    }

    fn put(&self, name: &str, more: &[(&str, &str)]) -> Answer<Created> {
        let mut config = config(&[("connector.class", "TextSource"), ("topic", "t")]);
        config.extend(self::config(more));
        let (name, config) = (name.to_owned(), config.into());
        self.call(|reply| Request::Put { name, config, create_only: true, initial: None, reply })
    }

    fn wait_for(&self, name: &str, states: &[&str]) {
        let deadline = Instant::now() + LIMIT;
        loop {
            let status =
                self.call(|reply| Request::Status { name: name.to_owned(), reply }).unwrap();
            let tasks = status.tasks.iter().map(|task| task.state);
            let now: Vec<_> = std::iter::once(status.connector.state).chain(tasks).collect();
            if now == states {
                return;
            }
            assert!(Instant::now() < deadline, "{now:?} instead of {states:?}");
            std::thread::yield_now();
        }
    }

    fn recorded(&self) -> Vec<Recorded> {
        self.calls.drain().collect()
    }
}

fn start(task: &str) -> Recorded {
    Recorded::Start(task.to_owned(), TargetState::Started)
}

#[test]
fn a_connectors_life() {
    let rig = Rig::new();
    let created = rig.put("c", &[("tasks.max", "2")]).unwrap();
    assert!(created.created);
    assert_eq!(created.info.tasks.len(), 2);
    rig.wait_for("c", &["RUNNING", "RUNNING", "RUNNING"]);
    assert_eq!(rig.recorded(), [start("c-0"), start("c-1")]);
    let task = rig.specs.recv().unwrap();
    assert_eq!(task.task["task.class"], "test.TextSourceTask");
    assert_eq!(rig.put("c", &[]).unwrap_err().message, "Connector c already exists");

    rig.call(|reply| Request::Pause { name: "c".to_owned(), reply }).unwrap();
    rig.call(|reply| Request::Resume { name: "c".to_owned(), reply }).unwrap();
    rig.wait_for("c", &["RUNNING", "RUNNING", "RUNNING"]);
    let both = |of: fn(String) -> Recorded| ["c-0", "c-1"].map(|id| of(id.to_owned()));
    let expected: Vec<_> =
        both(Recorded::Pause).into_iter().chain(both(Recorded::Resume)).collect();
    assert_eq!(rig.recorded(), expected);

    let changes = BTreeMap::from([("tasks.max".to_owned(), None)]);
    let patched =
        rig.call(|reply| Request::Patch { name: "c".to_owned(), changes, reply }).unwrap();
    assert_eq!(patched.tasks.len(), 1);
    rig.wait_for("c", &["RUNNING", "RUNNING"]);

    rig.call(|reply| Request::Stop { name: "c".to_owned(), reply }).unwrap();
    rig.wait_for("c", &["STOPPED"]);
    rig.call(|reply| Request::Delete { name: "c".to_owned(), reply }).unwrap();
    assert!(rig.call(Request::Connectors).unwrap().is_empty());
    rig.herder.shutdown();
}

#[test]
fn a_failed_task_leaves_the_worker_alive_and_restarts() {
    let rig = Rig::new();
    rig.put("c", &[]).unwrap();
    let spec = rig.specs.recv().unwrap();
    let state = TaskState::Failed("org.X: boom".to_owned());
    rig.reports.send(Report::State { id: spec.id, generation: spec.generation, state }).unwrap();
    rig.wait_for("c", &["RUNNING", "FAILED"]);
    let task = |reply| Request::TaskStatus { name: "c".to_owned(), task: 0, reply };
    assert_eq!(rig.call(task).unwrap().trace.as_deref(), Some("org.X: boom"));
    rig.call(|reply| Request::RestartTask { name: "c".to_owned(), task: 0, reply }).unwrap();
    rig.wait_for("c", &["RUNNING", "RUNNING"]);
    rig.herder.shutdown();
}

#[test]
fn connectors_that_fail_or_panic_fail_alone() {
    let rig = Rig::new();
    let failed = rig.put("a", &[("plan.fail", "no disk")]).unwrap_err();
    assert_eq!(failed.status, ErrorStatus::Internal);
    assert!(failed.message.contains("no disk"), "{failed}");
    let failed = rig.put("b", &[("plan.fail", "panic")]).unwrap_err();
    assert!(failed.message.contains("as the test wanted"), "{failed}");
    rig.wait_for("b", &["FAILED"]);
    let failed = rig.put("c", &[("plan.tasks", "5")]).unwrap_err();
    assert!(failed.message.contains("tasks.max.enforce"), "{failed}");
    rig.put("d", &[]).unwrap();
    rig.wait_for("d", &["RUNNING", "RUNNING"]);
    rig.herder.shutdown();
}

#[test]
fn bad_configurations_are_refused_with_javas_list() {
    let rig = Rig::new();
    let refused = rig.put("c", &[("tasks.max", "0"), ("topic", "")]).unwrap_err();
    assert_eq!(refused.status, ErrorStatus::BadRequest);
    assert_eq!(
        refused.message,
        "Connector configuration is invalid and contains the following 2 error(s):\nInvalid value 0 \
         for configuration tasks.max: Value must be at least 1\nInvalid value  for configuration \
         topic: String must be non-empty\nYou can also find the above list of errors at the endpoint \
         `/connector-plugins/{connectorType}/config/validate`"
    );
    let refused = rig.put("c", &[("name", "d")]).unwrap_err();
    assert_eq!(
        refused.message,
        "Connector name configuration (d) doesn't match connector name in the URL (c)"
    );
    rig.herder.shutdown();
}

#[test]
fn secrets_reach_the_task_and_nobody_else() {
    let rig = Rig::new();
    let placeholder = format!("${{file:{}:pw}}", rig.folder.path().join("secrets").display());
    let created = rig.put("c", &[("secret", &placeholder)]).unwrap();
    assert_eq!(created.info.config["secret"], placeholder);
    let tasks = rig.call(|reply| Request::Tasks { name: "c".to_owned(), reply }).unwrap();
    assert_eq!(tasks[0].config["secret"], placeholder);
    let spec = rig.specs.recv().unwrap();
    assert_eq!(spec.task["secret"], "hush");
    assert_eq!(spec.connector["secret"], "hush");
    rig.herder.shutdown();
}

#[test]
fn offsets_are_changed_only_at_rest_and_reach_the_tasks_store() {
    let rig = Rig::new();
    rig.put("c", &[]).unwrap();
    let map = |key: &str, value: serde_json::Value| {
        Some(serde_json::Map::from_iter([(key.to_owned(), value)]))
    };
    let change = |value: serde_json::Value| {
        vec![OffsetChange { partition: map("f", "x".into()), offset: map("p", value) }]
    };
    let scalars = |key: &str, scalar| vec![(key.to_owned(), scalar)];
    let alter =
        |offsets| rig.call(|reply| Request::AlterOffsets { name: "c".to_owned(), offsets, reply });
    let list = || rig.call(|reply| Request::Offsets { name: "c".to_owned(), reply }).unwrap();
    let refused = alter(Some(change(1.into()))).unwrap_err();
    assert!(refused.message.starts_with("Connectors must be in the STOPPED state"), "{refused}");
    rig.call(|reply| Request::Stop { name: "c".to_owned(), reply }).unwrap();
    assert!(alter(Some(change(2.into()))).unwrap().contains("altered"));
    let stored = (scalars("f", Scalar::String("x".to_owned())), scalars("p", Scalar::Int(2)));
    assert_eq!(list(), [stored]);
    let nested = alter(Some(change(serde_json::json!([1])))).unwrap_err();
    assert!(nested.message.ends_with("but field p contains ARRAY"), "{nested}");
    let spec = rig.specs.recv().unwrap();
    assert_eq!(spec.offsets.get(br#"["c",{"f":"x"}]"#).as_deref(), Some(br#"{"p":2}"#.as_slice()));
    assert!(alter(None).unwrap().contains("reset"));
    assert!(list().is_empty());
    rig.herder.shutdown();
}

#[test]
fn an_ended_herder_answers_so() {
    let rig = Rig::new();
    let mailbox = rig.herder.mailbox.clone();
    rig.herder.shutdown();
    let answer = mailbox.call(LIMIT, Request::Connectors).unwrap_err();
    assert_eq!(answer.message, "Worker is shutting down");
}
