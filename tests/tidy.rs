//! Reads the source and holds the house to its rules: who may import whom, how long things get,
//! where `unsafe` may stand, what every file must say of itself.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Lines of a file without its tests: the aim for new files, and what no file may pass.
const FILE_LINES_HARD: usize = 700;
const FILE_LINES_MEDIAN: usize = 250;
/// Lines of a function.
const FUNCTION_LINES: usize = 70;
/// Packages in the lock file with all features.
const LOCKED_PACKAGES: usize = 450;
const BANNED_STEMS: [&str; 6] = ["util", "utils", "helper", "helpers", "common", "misc"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

#[derive(Debug)]
struct Room {
    name: String,
    path: PathBuf,
    ours: Vec<String>,
}

struct Rules {
    rooms: Vec<Room>,
    packages: BTreeMap<String, Vec<String>>,
    unsafe_files: Vec<String>,
}

fn strings(value: &toml::Value) -> Vec<String> {
    let list = value.as_array().expect("a list of strings");
    list.iter().map(|item| item.as_str().expect("a string").to_owned()).collect()
}

fn rules() -> Rules {
    let text = fs::read_to_string(root().join("tests/imports.toml")).expect("tests/imports.toml");
    let table: toml::Table = text.parse().expect("valid TOML");
    let rooms = table["rooms"].as_table().expect("rooms");
    let packages = table["packages"].as_table().expect("packages");
    Rules {
        rooms: rooms
            .iter()
            .map(|(name, room)| Room {
                name: name.clone(),
                path: root().join(room["path"].as_str().expect("a path")),
                ours: strings(&room["ours"]),
            })
            .collect(),
        packages: packages.iter().map(|(name, who)| (name.clone(), strings(who))).collect(),
        unsafe_files: strings(&table["unsafe"]["files"]),
    }
}

fn rust_files(dir: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> =
        fs::read_dir(dir).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            if path.file_name().is_none_or(|name| name != "target") {
                rust_files(&path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Every Rust file of the project.
fn sources() -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    for dir in ["converters", "src", "perf", "benches", "tests"] {
        rust_files(&root().join(dir), &mut files);
    }
    assert!(files.len() > 40, "only {} files found: the walk is broken", files.len());
    files
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).expect("readable source");
            (path.strip_prefix(root()).expect("inside the project").to_owned(), text)
        })
        .collect()
}

fn is_test(path: &Path) -> bool {
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or("");
    path.starts_with("tests")
        || stem == "tests"
        || stem == "rig"
        || stem.ends_with("_tests")
        || path
            .components()
            .any(|part| part.as_os_str() == "tests" || part.as_os_str() == "examples")
}

/// The lines before the file's test module.
fn without_tests(text: &str) -> Vec<&str> {
    let lines: Vec<&str> = text.lines().collect();
    let end = lines
        .windows(2)
        .position(|pair| pair[0].trim() == "#[cfg(test)]" && pair[1].contains("mod "))
        .unwrap_or(lines.len());
    lines[..end].to_vec()
}

fn complain(what: &str, wrong: &[String]) {
    assert!(wrong.is_empty(), "{what}:\n  {}", wrong.join("\n  "));
}

#[test]
fn rooms_import_only_whom_they_may() {
    let rules = rules();
    let mut wrong = Vec::new();
    for room in &rules.rooms {
        let manifest = fs::read_to_string(room.path.join("Cargo.toml")).expect("a manifest");
        let manifest: toml::Table = manifest.parse().expect("valid TOML");
        let dependencies = manifest["dependencies"].as_table().expect("dependencies");
        for name in dependencies.keys() {
            if let Some(ours) = name.strip_prefix("millrace-")
                && !room.ours.iter().any(|allowed| allowed == ours)
            {
                wrong.push(format!("{} depends on {ours}", room.name));
            }
            if let Some(allowed) = rules.packages.get(name)
                && !allowed.contains(&room.name)
            {
                wrong.push(format!("{} names the package {name}", room.name));
            }
        }
    }
    complain("imports that tests/imports.toml does not allow", &wrong);
}

#[test]
fn rooms_have_no_circles() {
    let rules = rules();
    let imports: BTreeMap<_, _> =
        rules.rooms.iter().map(|room| (room.name.as_str(), &room.ours)).collect();
    fn visit<'a>(
        room: &'a str,
        imports: &BTreeMap<&'a str, &'a Vec<String>>,
        path: &mut Vec<&'a str>,
    ) {
        assert!(!path.contains(&room), "a circle: {path:?} -> {room}");
        path.push(room);
        for next in imports[room] {
            visit(next, imports, path);
        }
        path.pop();
    }
    for room in imports.keys() {
        visit(room, &imports, &mut Vec::new());
    }
}

#[test]
fn connectors_do_not_know_each_other() {
    let rules = rules();
    let connectors = &rules.rooms.iter().find(|room| room.name == "connectors").expect("it").path;
    let folders: Vec<String> = fs::read_dir(connectors)
        .expect("the room")
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let name = path.file_name()?.to_str()?.to_owned();
            (path.is_dir() && name != "storage").then_some(name)
        })
        .collect();
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let Ok(inside) = path.strip_prefix("src/connectors") else { continue };
        let Some(own) = inside.components().next() else { continue };
        for other in folders.iter().filter(|other| own.as_os_str() != other.as_str()) {
            if inside.components().count() > 1 && text.contains(&format!("crate::{other}::")) {
                wrong.push(format!("{} names {other}", path.display()));
            }
        }
    }
    complain("connectors that know other connectors", &wrong);
}

#[test]
fn files_stay_short_enough_to_read() {
    let mut wrong = Vec::new();
    let mut lengths = Vec::new();
    for (path, text) in sources().iter().filter(|(path, _)| !is_test(path)) {
        let length = without_tests(text).len();
        lengths.push(length);
        if length > FILE_LINES_HARD {
            wrong.push(format!("{}: {length} lines", path.display()));
        }
    }
    complain("files over the limit", &wrong);
    lengths.sort_unstable();
    let median = lengths[lengths.len() / 2];
    assert!(median <= FILE_LINES_MEDIAN, "the median file has {median} lines");
}

#[test]
fn functions_stay_short_enough_to_read() {
    let mut wrong = Vec::new();
    for (path, text) in sources().iter().filter(|(path, _)| !is_test(path)) {
        for (name, length) in functions(&without_tests(text)) {
            if length > FUNCTION_LINES {
                wrong.push(format!("{}: fn {name}: {length} lines", path.display()));
            }
        }
    }
    complain("functions over the limit", &wrong);
}

/// Name and length of each function. Relies on rustfmt: a function's last line is a brace as
/// deep as the line that begins it.
fn functions(lines: &[&str]) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let depth = line.len() - code.len();
        let Some(position) = code.find("fn ") else { continue };
        let head = &code[..position];
        let is_head = head.split_whitespace().all(|word| {
            matches!(word, "pub" | "async" | "const" | "unsafe" | "extern" | "\"C\"")
                || word.starts_with("pub(")
        });
        if !is_head || code.starts_with("//") {
            continue;
        }
        let name: String =
            code[position + 3..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        let close = format!("{}}}", " ".repeat(depth));
        if let Some(end) = lines[at..].iter().position(|line| *line == close) {
            found.push((name, end + 1));
        }
    }
    found
}

#[test]
fn every_file_says_what_it_is() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        if !text.starts_with("//!") {
            wrong.push(path.display().to_string());
        }
    }
    complain("files without a module doc on their first line", &wrong);
}

#[test]
fn no_file_is_named_after_nothing() {
    let mut wrong = Vec::new();
    for (path, _) in sources() {
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or("");
        if BANNED_STEMS.contains(&stem) {
            wrong.push(path.display().to_string());
        }
    }
    complain("file names that say nothing", &wrong);
}

#[test]
fn unsafe_stands_only_where_it_is_listed() {
    let rules = rules();
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        if is_test(&path) {
            continue;
        }
        let listed = rules.unsafe_files.iter().any(|file| Path::new(file) == path);
        let lines: Vec<&str> = text.lines().collect();
        let mut used = false;
        for (at, line) in lines.iter().enumerate() {
            let code = line.split("//").next().unwrap_or("");
            if code.contains("unsafe {")
                || code.contains("unsafe fn")
                || code.contains("unsafe impl")
            {
                used = true;
                let above = &lines[at.saturating_sub(12)..=at];
                if !above.iter().any(|line| line.contains("SAFETY") || line.contains("# Safety")) {
                    wrong.push(format!("{}:{}: no proof beside it", path.display(), at + 1));
                }
            }
        }
        if used && !listed {
            wrong.push(format!("{}: not listed in tests/imports.toml", path.display()));
        }
        if listed && !used {
            wrong.push(format!("{}: listed, but has no unsafe code", path.display()));
        }
    }
    complain("unsafe code", &wrong);
}

#[test]
fn the_lock_file_stays_light() {
    let lock = fs::read_to_string(root().join("Cargo.lock")).expect("Cargo.lock");
    let packages = lock.lines().filter(|line| *line == "[[package]]").count();
    assert!(packages <= LOCKED_PACKAGES, "{packages} packages are locked");
}

#[test]
fn the_project_speaks_of_itself_alone() {
    let banned = ["/home/", "/Users/"];
    let mut wrong = Vec::new();
    let mut texts = sources();
    for name in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"] {
        let text = fs::read_to_string(root().join(name)).expect("a document of the house");
        texts.push((PathBuf::from(name), text));
    }
    for (path, text) in texts {
        if path == Path::new("tests/tidy.rs") {
            continue;
        }
        for word in banned.iter().filter(|word| text.contains(**word)) {
            wrong.push(format!("{}: {word}", path.display()));
        }
    }
    complain("paths of somebody's machine", &wrong);
}
