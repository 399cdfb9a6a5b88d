//! Committed offsets, kept in an append-only file of rows that is rewritten when it has grown.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::rows;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Committed {
    pub offset: i64,
    pub leader_epoch: i32,
    pub metadata: String,
}

pub(crate) type GroupOffsets = BTreeMap<(String, i32), Committed>;

/// Rows below which the file is not worth rewriting.
const FEW_ROWS: usize = 100_000;

pub(crate) struct OffsetStore {
    path: PathBuf,
    file: File,
    rows: usize,
    groups: BTreeMap<String, GroupOffsets>,
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

fn push_row(out: &mut String, group: &str, key: &(String, i32), committed: Option<&Committed>) {
    let partition = key.1.to_string();
    match committed {
        None => rows::push(out, [group, &key.0, &partition]),
        Some(committed) => {
            let (offset, epoch) =
                (committed.offset.to_string(), committed.leader_epoch.to_string());
            rows::push(out, [group, &key.0, &partition, &offset, &epoch, &committed.metadata]);
        }
    }
}

impl OffsetStore {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let mut groups: BTreeMap<String, GroupOffsets> = BTreeMap::new();
        for row in rows::read(path)? {
            let mut fields = row.into_iter();
            let (Some(group), Some(topic), Some(partition)) =
                (fields.next(), fields.next(), fields.next().and_then(|text| text.parse().ok()))
            else {
                continue;
            };
            let offsets = groups.entry(group).or_default();
            let offset = fields.next().and_then(|text| text.parse().ok());
            let leader_epoch = fields.next().and_then(|text| text.parse().ok());
            match (offset, leader_epoch) {
                (Some(offset), Some(leader_epoch)) => {
                    let metadata = fields.next().unwrap_or_default();
                    let committed = Committed { offset, leader_epoch, metadata };
                    offsets.insert((topic, partition), committed);
                }
                _ => drop(offsets.remove(&(topic, partition))),
            }
        }
        groups.retain(|_, offsets| !offsets.is_empty());
        let mut store = Self { path: path.to_owned(), file: append_to(path)?, rows: 0, groups };
        store.rewrite()?;
        Ok(store)
    }

    fn rewrite(&mut self) -> io::Result<()> {
        let mut text = String::new();
        self.rows = 0;
        for (group, offsets) in &self.groups {
            for (key, committed) in offsets {
                push_row(&mut text, group, key, Some(committed));
                self.rows += 1;
            }
        }
        rows::replace(&self.path, &text)?;
        self.file = append_to(&self.path)?;
        Ok(())
    }

    /// Takes over what a group commits; `None` deletes.
    pub(crate) fn put(
        &mut self,
        group: &str,
        changes: Vec<((String, i32), Option<Committed>)>,
    ) -> io::Result<()> {
        if changes.is_empty() {
            return Ok(());
        }
        let mut text = String::new();
        for (key, committed) in &changes {
            push_row(&mut text, group, key, committed.as_ref());
        }
        self.file.write_all(text.as_bytes())?;
        self.rows += changes.len();
        let offsets = self.groups.entry(group.to_owned()).or_default();
        for (key, committed) in changes {
            match committed {
                Some(committed) => drop(offsets.insert(key, committed)),
                None => drop(offsets.remove(&key)),
            }
        }
        if offsets.is_empty() {
            self.groups.remove(group);
        }
        let live: usize = self.groups.values().map(BTreeMap::len).sum();
        if self.rows > FEW_ROWS && self.rows > 10 * live { self.rewrite() } else { Ok(()) }
    }

    pub(crate) fn get(&self, group: &str) -> Option<&GroupOffsets> {
        self.groups.get(group)
    }

    pub(crate) fn groups(&self) -> impl Iterator<Item = &String> {
        self.groups.keys()
    }

    /// Deletes all of a group's offsets.
    pub(crate) fn delete_group(&mut self, group: &str) -> io::Result<()> {
        let keys =
            self.groups.get(group).map(|offsets| offsets.keys().cloned().collect::<Vec<_>>());
        self.put(group, keys.unwrap_or_default().into_iter().map(|key| (key, None)).collect())
    }

    /// Deletes all offsets of a topic, as its deletion demands.
    pub(crate) fn delete_topic(&mut self, topic: &str) -> io::Result<()> {
        let groups: Vec<String> = self.groups.keys().cloned().collect();
        for group in groups {
            let offsets = self.groups.get(&group).into_iter().flat_map(BTreeMap::keys);
            let gone: Vec<_> = offsets.filter(|(name, _)| name == topic).cloned().collect();
            self.put(&group, gone.into_iter().map(|key| (key, None)).collect())?;
        }
        Ok(())
    }

    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn committed(offset: i64) -> Option<Committed> {
        Some(Committed { offset, leader_epoch: -1, metadata: "a\tb".to_owned() })
    }

    #[test]
    fn offsets_outlive_the_process() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("offsets");
        let key = |index| ("t".to_owned(), index);
        {
            let mut store = OffsetStore::open(&path).expect("opened");
            store.put("g", vec![(key(0), committed(1)), (key(1), committed(2))]).expect("put");
            store.put("g", vec![(key(0), committed(5)), (key(1), None)]).expect("put");
            store.put("h", vec![(key(0), committed(9))]).expect("put");
            store.delete_group("h").expect("deleted");
        }
        let store = OffsetStore::open(&path).expect("opened again");
        let offsets = store.get("g").expect("the group");
        assert_eq!(offsets.get(&key(0)).cloned(), committed(5));
        assert_eq!(offsets.len(), 1);
        assert!(store.get("h").is_none());
    }
}
