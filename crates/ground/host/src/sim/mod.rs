//! Simulations: a clock, ids and a disk that one seed replays.
