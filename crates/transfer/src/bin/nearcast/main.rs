//! `nearcast`: the terminal without a window (R9).

/// Prints a line to standard output. Whoever reads it may have had enough: that is no failure.
macro_rules! said {
    ($($words:tt)*) => {{
        use std::io::Write as _;
        writeln!(std::io::stdout(), $($words)*).ok();
    }};
}

mod cli;
mod fetch;
mod node;
mod play;
mod share;
mod shown;
mod status;
mod trace;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::parse();
    node::start_log(cli.verbose);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into()),
    };
    let outcome = runtime.block_on(run(cli));
    // A hash or a sync that is still at work must not hold up the end.
    runtime.shutdown_background();
    match outcome {
        Ok(code) => code,
        Err(error) => fail(&error),
    }
}

async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let options = cli.options.with_config()?;
    match cli.command {
        Command::Get(get) => fetch::get(&options, &get).await,
        Command::Play(play) => play::play(&options, &play).await,
        Command::Share(share) => share::share(&options, &share).await,
        Command::Hash(hash) => share::hash(&hash).await,
        Command::Trace(trace) => trace::trace(&trace),
        Command::Status(status) => status::status(&options, &status).await,
    }
}

fn fail(error: &anyhow::Error) -> ExitCode {
    // `{:#}` tells the whole chain in one line; a sentence that repeats its cause is told once.
    let mut said = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !said.contains(&cause) {
            said = format!("{said}: {cause}");
        }
    }
    eprintln!("nearcast: {said}");
    ExitCode::FAILURE
}
