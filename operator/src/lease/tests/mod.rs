mod elector;
mod fence;
mod simulation;
