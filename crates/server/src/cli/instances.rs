//! `millpond instances`: machines registered, listed and removed in a data directory, whether or not a server is using it.
//!
//! Invariant: an id is printed once its machine is durable.

use std::process::ExitCode;

use api::AccountId;
use ec2::{Machines, NewMachine};

use super::keys::{account_or_default, date, make_ready};
use super::{InstancesArgs, InstancesCommand};
use crate::data_dir::DataDir;
use crate::wiring;

/// Runs one of the subcommands.
pub(super) fn run(args: InstancesArgs) -> anyhow::Result<ExitCode> {
    let (config, data_dir) = args.place.load()?;
    let account = account_or_default(&config, args.account.as_deref())?;
    match args.command {
        InstancesCommand::Add { ip, zone, name } => {
            make_ready(&data_dir)?;
            let machine = NewMachine { address: ip, zone, name };
            println!("{}", wiring::open_machines(&config, &data_dir)?.add(&account, &machine)?);
        }
        InstancesCommand::Ls => {
            DataDir::check(&data_dir)?;
            list(&wiring::open_machines(&config, &data_dir)?, &account)?;
        }
        InstancesCommand::Rm { instance_id } => {
            DataDir::check(&data_dir)?;
            let machines = wiring::open_machines(&config, &data_dir)?;
            anyhow::ensure!(
                machines.remove(&account, &instance_id)?,
                "there is no machine {instance_id}; `millpond instances ls` lists them"
            );
            eprintln!("Removed {instance_id}.");
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn list(machines: &Machines, account: &AccountId) -> anyhow::Result<()> {
    let machines = machines.list(account)?;
    if machines.is_empty() {
        eprintln!("There is no machine; add one with `millpond instances add --ip ADDRESS --zone ZONE`.");
    }
    for machine in machines {
        let name = machine.name.unwrap_or_default();
        let address = machine.address.to_string();
        let line =
            format!("{}  {address:<15}  {}  {}  {name}", machine.instance_id, machine.zone, date(machine.added_at));
        println!("{}", line.trim_end());
    }
    Ok(())
}
