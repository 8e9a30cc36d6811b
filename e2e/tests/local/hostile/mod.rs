//! Scenes with those who attack: what a person sees of it, and what the record does. Each is played in both directions: with an
//! honest relay nothing of it is shown.

mod devices;
mod flood;
mod identity;
mod left_out;
mod missing;
mod names;
mod relay;
mod restore;
mod retention;
mod stage;
mod thief;
mod ways;
