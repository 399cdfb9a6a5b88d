//! The JVM's side of `--vs`: Kafka Connect's own worker from a folder of jars, with stand-ins for
//! the classes that it lacks.

use std::path::{Path, PathBuf};
use std::process::Command;

use millrace_api::Config;

use super::super::Failure;
use super::records::Maker;

/// The stand-ins' source; they are compiled when they are needed.
const NULL_SINK: &str = include_str!("../../../perf/jvm/NullSinkConnector.java");
const EVENT_SOURCE: &str = include_str!("../../../perf/jvm/EventSourceConnector.java");

/// Events that the source's stand-in sends in turn: far more than lz4's window of 64 KiB holds.
const EVENTS: u64 = 4_000;

/// The jar whose name tells Kafka's version.
const RUNTIME: &str = "connect-runtime-";

pub(super) struct Jvm {
    libs: PathBuf,
    classes: PathBuf,
    /// The source's events, a line each.
    events: PathBuf,
    pub version: String,
}

impl Jvm {
    /// Looks at the jars and compiles the stand-ins into `dir`.
    pub(super) fn new(libs: &Path, dir: &Path) -> Result<Self, Failure> {
        let failed = |why: String| Failure::startup(format!("--vs {}: {why}", libs.display()));
        let entries = std::fs::read_dir(libs).map_err(|error| failed(error.to_string()))?;
        let version = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .find_map(|name| Some(name.strip_prefix(RUNTIME)?.strip_suffix(".jar")?.to_owned()))
            .ok_or_else(|| failed(format!("there is no {RUNTIME}VERSION.jar in it")))?;
        let java = Command::new("java").arg("-version").output();
        let java = java.map_err(|error| failed(format!("java cannot be run: {error}")))?;
        let words = String::from_utf8_lossy(&java.stderr);
        let java = words.lines().next().unwrap_or_default().replace('"', "");
        let libs = libs.canonicalize().map_err(|error| failed(error.to_string()))?;
        let classes = compile(&libs, dir).map_err(failed)?;
        let events = write_events(dir).map_err(|error| failed(error.to_string()))?;
        Ok(Self { libs, classes, events, version: format!("Kafka Connect {version}, {java}") })
    }

    /// The worker with the heap of Kafka's own scripts; its files are to follow.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new("java");
        let path = format!("{}:{}/*", self.classes.display(), self.libs.display());
        command.args(["-Xms256M", "-Xmx2G", "-cp"]).arg(path);
        command.arg("org.apache.kafka.connect.cli.ConnectStandalone");
        command
    }

    /// The connector's file with classes that the JVM has.
    pub(super) fn connector(&self, mut connector: Config) -> Config {
        match stand_in(connector.get("connector.class").map_or("", |class| class.trim())) {
            Some("NullSinkConnector") => {
                connector.insert("connector.class".to_owned(), "NullSinkConnector".to_owned());
            }
            Some(source) => {
                let events = self.events.to_string_lossy();
                let topic = ["kafka.topic", "topic"].into_iter().find_map(|key| connector.get(key));
                let topic = topic.cloned().unwrap_or_default();
                let count = ["max", "iterations"].into_iter().find_map(|key| connector.get(key));
                let count = count.cloned().unwrap_or_else(|| i64::MAX.to_string());
                connector.retain(|key, _| !key.starts_with("value.converter"));
                for (key, value) in [
                    ("connector.class", source),
                    ("topic", &topic),
                    ("iterations", &count),
                    ("lines.file", &*events),
                    ("value.converter", "org.apache.kafka.connect.storage.StringConverter"),
                ] {
                    connector.insert(key.to_owned(), value.to_owned());
                }
            }
            None => {}
        }
        connector
    }
}

/// The class that takes the place of one of ours.
fn stand_in(class: &str) -> Option<&'static str> {
    match class {
        "millrace.NullSinkConnector" | "NullSinkConnector" | "NullSink" => {
            Some("NullSinkConnector")
        }
        "millrace.DatagenSourceConnector" => Some("EventSourceConnector"),
        _ => None,
    }
}

/// What a reader of the result must know.
pub(super) fn note(class: &str) -> Option<String> {
    Some(match stand_in(class)? {
        "NullSinkConnector" => {
            "the JVM has no null sink: perf/jvm/NullSinkConnector.java stands in for it".to_owned()
        }
        other => format!(
            "the JVM has no {class}: perf/jvm/{other}.java stands in for it; it sends {EVENTS} \
             events of 254 bytes round and round, as strings"
        ),
    })
}

/// Events of the size of the generator's own.
fn write_events(dir: &Path) -> std::io::Result<PathBuf> {
    let mut lines = Vec::new();
    for number in 0..EVENTS {
        Maker::Event(254).write(number, 1_700_000_000_000 + number as i64, &mut lines);
        lines.push(b'\n');
    }
    let path = dir.join("events.txt");
    std::fs::write(&path, lines)?;
    Ok(path)
}

fn compile(libs: &Path, dir: &Path) -> Result<PathBuf, String> {
    let classes = dir.join("classes");
    std::fs::create_dir_all(&classes).map_err(|error| error.to_string())?;
    let mut javac = Command::new("javac");
    javac.arg("-cp").arg(format!("{}/*", libs.display())).arg("-d").arg(&classes);
    for (name, text) in
        [("NullSinkConnector.java", NULL_SINK), ("EventSourceConnector.java", EVENT_SOURCE)]
    {
        let path = dir.join(name);
        std::fs::write(&path, text).map_err(|error| error.to_string())?;
        javac.arg(path);
    }
    let done = javac.output().map_err(|error| {
        format!("javac cannot be run: {error}; it compiles the stand-ins, install a JDK")
    })?;
    if !done.status.success() {
        return Err(format!("javac failed:\n{}", String::from_utf8_lossy(&done.stderr)));
    }
    Ok(classes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_classes_get_stand_ins_and_others_none() {
        let dir = tempfile::tempdir().unwrap();
        let events = write_events(dir.path()).unwrap();
        let jvm = Jvm { libs: "".into(), classes: "".into(), events, version: String::new() };
        let with = |class: &str| -> Config {
            [
                ("connector.class", class),
                ("kafka.topic", "t"),
                ("max", "7"),
                ("value.converter.x", "y"),
            ]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into()
        };
        let sink = jvm.connector(with("millrace.NullSinkConnector"));
        assert_eq!(sink["connector.class"], "NullSinkConnector");
        let source = jvm.connector(with("millrace.DatagenSourceConnector"));
        let of = |key: &str| source[key].as_str();
        assert_eq!(
            (of("connector.class"), of("topic"), of("iterations")),
            ("EventSourceConnector", "t", "7")
        );
        let lines = std::fs::read_to_string(of("lines.file")).unwrap();
        assert!(lines.lines().all(|line| line.len() == 254));
        let distinct: std::collections::HashSet<&str> = lines.lines().collect();
        assert_eq!(distinct.len() as u64, EVENTS);
        assert!(!source.contains_key("value.converter.x"));
        let other = with("org.apache.kafka.connect.file.FileStreamSinkConnector");
        assert_eq!(jvm.connector(other.clone()), other);
        assert!(note("millrace.NullSinkConnector").is_some() && note("x.Y").is_none());
    }

    #[test]
    fn a_folder_without_jars_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let failure = Jvm::new(dir.path(), dir.path()).err().unwrap();
        assert!(failure.message.contains("connect-runtime-VERSION.jar"), "{}", failure.message);
    }
}
