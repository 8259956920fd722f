//! A short soak; `make soak` is the long one.

use anyhow::{Result, ensure};
use nearcast_tests::run;

#[test]
fn nodes_that_are_killed_and_frozen_give_nobody_a_wrong_byte() -> Result<()> {
    let out = run("nearcast-soak", &["--minutes", "0.5", "--nodes", "7", "--size", "8000000"])?;
    let told = String::from_utf8_lossy(&out.stdout);
    ensure!(out.status.success(), "{told}\n{}", String::from_utf8_lossy(&out.stderr));
    ensure!(told.contains("every byte right"), "{told}");
    eprintln!("{told}");
    Ok(())
}
