//! The data plane: tasks on cores, from fetched batch to committed offset.
