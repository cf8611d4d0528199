//! The table of scenarios in full, in virtual time: what the paths allow, what other implementations
//! are known to reach, and what this one does.
//!
//! `cargo bench -p eepkit-streaming --bench scenarios` prints all rows; numbers behind `--` choose some,
//! such as `-- 5 9 15`; `-- matrix` prints what every sender gets through to every receiver.

use std::io::Write;

use eepkit_streaming::testing::{
    foreign::rows::matrix,
    scenario::{Effort, heading, line, rows},
};

fn main() -> std::io::Result<()> {
    let chosen: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let mut out = std::io::stdout().lock();
    if chosen.iter().any(|name| name == "matrix") {
        return out.write_all(matrix(3).as_bytes());
    }
    out.write_all(heading().as_bytes())?;
    for row in rows() {
        let digits = row.number.trim_end_matches(char::is_alphabetic);
        let wanted = |name: &String| name == row.number || name == digits;
        if chosen.is_empty() || chosen.iter().any(wanted) {
            out.write_all(line(&row, Effort::FULL).as_bytes())?;
            out.flush()?;
        }
    }
    Ok(())
}
