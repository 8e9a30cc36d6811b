//! Keys, sealing and opening: no I/O, no clock, no network
