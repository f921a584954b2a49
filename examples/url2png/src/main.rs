//! URL2PNG: takes pictures of web pages, on SQS and S3.
//!
//! `url2png submit URL` puts a job on a queue; any number of `url2png work` processes take jobs from it, render the
//! pages with headless Chromium and store the pictures in a bucket that is a website.
//!
//! ```text
//! submit ──> job ──> queue ──> work ──> render ──> cdp ──> Chromium
//!                                └────> bucket
//! ```

mod aws;
mod cdp;
mod job;
mod render;
mod submit;
mod work;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Takes pictures of web pages: a queue of URLs, workers that render, a bucket that serves the pictures.
#[derive(Debug, Parser)]
#[command(name = "url2png", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Ask for the picture of a page; prints where it will be
    Submit(submit::SubmitArgs),
    /// Take jobs from the queue until SIGTERM
    Work(work::WorkArgs),
}

// One thread is enough: a worker waits, for the queue, for Chromium or for the bucket.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    let done = match Cli::parse().command {
        Command::Submit(args) => submit::run(args).await,
        Command::Work(args) => work::run(args).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("url2png: {error:#}");
            ExitCode::FAILURE
        }
    }
}
