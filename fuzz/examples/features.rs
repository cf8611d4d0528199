//! Does nothing. Where an example is built, cargo enables the features that dev-dependencies need, so that
//! the fuzz targets use the dependencies that were built for the tests.

fn main() {}
