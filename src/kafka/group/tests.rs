//! Assignors, the members' bytes, the membership's steps.
