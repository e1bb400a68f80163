//! The one binary: VPCs and VPC peering on machines you own.

mod account;
mod actions;
mod agents;
mod api_port;
mod backup;
mod ca;
mod capture;
mod cli;
mod client;
mod control_plane;
mod demo;
mod doctor;
mod drops;
mod events;
mod exec;
mod gc;
mod host;
mod host_agent;
mod hosts;
mod https;
mod key;
mod metrics;
mod names;
mod notify;
mod operator;
mod quotas;
mod reach;
mod status;
mod support_bundle;
mod table;
mod timing;
mod token;
mod up;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command, HostCommand, KeyCommand, TokenCommand};

/// Persistent maps and documents are many small pieces; the C library's allocator costs the writer a tenth of its time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // A hidden helper process must do its work before there is a second thread.
    if let Some(code) = linux::helper_main() {
        return code;
    }
    let cli = Cli::parse();
    init_log(cli.verbose);
    let result = match cli.command {
        Command::Up(options) => up::run(&options),
        Command::Demo(options) => demo::run(&options),
        Command::Exec(options) => exec::run(&options),
        Command::Status(options) => status::run(&options),
        Command::Capture(options) => capture::run(&options),
        Command::Doctor(options) => doctor::run(&options),
        Command::Reach(options) => reach::run(&options),
        Command::Key(KeyCommand::Create(options)) => key::create(&options),
        Command::Key(KeyCommand::List(options)) => account::keys(&options),
        Command::Key(KeyCommand::Disable(options)) => account::set_key(&options, "Inactive"),
        Command::Key(KeyCommand::Enable(options)) => account::set_key(&options, "Active"),
        Command::Key(KeyCommand::Delete(options)) => account::delete_key(&options),
        Command::Account(command) => account::run(&command),
        Command::Events(options) => events::run(&options),
        Command::Server(options) => control_plane::run(&options),
        Command::Agent(options) => host_agent::run(&options),
        Command::Token(TokenCommand::Create(options)) => token::create(&options),
        Command::Host(HostCommand::List(options)) => hosts::list(&options),
        Command::Host(HostCommand::Revoke(options)) => hosts::revoke(&options),
        Command::Host(HostCommand::Clear(options)) => hosts::clear(&options),
        Command::Ca(command) => ca::run(&command),
        Command::Backup(options) => backup::make(&options),
        Command::Restore(options) => backup::restore(&options),
        Command::Gc(options) => gc::run(&options),
        Command::SupportBundle(options) => support_bundle::run(&options),
        Command::Actions(options) => actions::run(&options),
        Command::Completions { shell } => {
            cli::completions(shell);
            Ok(ExitCode::SUCCESS)
        }
    };
    result.unwrap_or_else(|error| {
        eprintln!("peerway: {error:#}");
        ExitCode::FAILURE
    })
}

/// Logs go to standard error; RUST_LOG says more than the flag can.
fn init_log(verbose: u8) {
    let level = match verbose {
        0 => "warn",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| level.into());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        // Nobody may be reading any more, which is no reason to panic.
        .log_internal_errors(false)
        .init();
}
