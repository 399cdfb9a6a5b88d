//! Wrong configuration, absent peers, full disks: said clearly, nothing lost, the worker lives.

mod configuration;
mod dead_letters;
mod peers;
mod places;
mod records;
