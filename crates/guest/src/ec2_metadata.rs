//! `ec2-metadata`: prints what the metadata service knows, one line a subject.
//!
//! Invariant: options and lines are those of Amazon Linux's; what there is nothing of is "not available".

use std::ffi::OsString;

use crate::http_client::HttpClient;
use crate::identity::instance_id;
use crate::metadata_service::MetadataService;
use crate::options::ProxyOptions;
use crate::system::System;

/// One thing that can be asked for.
struct Subject {
    short: Option<char>,
    long: &'static str,
    label: &'static str,
    path: &'static str,
    help: &'static str,
}

const fn subject(
    short: Option<char>,
    long: &'static str,
    label: &'static str,
    path: &'static str,
    help: &'static str,
) -> Subject {
    Subject { short, long, label, path, help }
}

const SUBJECTS: &[Subject] = &[
    subject(Some('a'), "ami-id", "ami-id", "meta-data/ami-id", "The AMI ID used to launch this instance"),
    subject(
        Some('l'),
        "ami-launch-index",
        "ami-launch-index",
        "meta-data/ami-launch-index",
        "The index of this instance in the reservation (per AMI).",
    ),
    subject(
        Some('m'),
        "ami-manifest-path",
        "ami-manifest-path",
        "meta-data/ami-manifest-path",
        "The manifest path of the AMI with which the instance was launched.",
    ),
    subject(
        Some('n'),
        "ancestor-ami-ids",
        "ancestor-ami-ids",
        "meta-data/ancestor-ami-ids",
        "The AMI IDs of any instances that were rebundled to create this AMI.",
    ),
    subject(
        Some('b'),
        "block-device-mapping",
        "block-device-mapping",
        "meta-data/block-device-mapping/",
        "Defines native device names to use when exposing virtual devices.",
    ),
    subject(Some('i'), "instance-id", "instance-id", "meta-data/instance-id", "The ID of this instance"),
    subject(
        Some('t'),
        "instance-type",
        "instance-type",
        "meta-data/instance-type",
        "The type of instance to launch. For more information, see Instance Types.",
    ),
    subject(
        Some('h'),
        "local-hostname",
        "local-hostname",
        "meta-data/local-hostname",
        "The local hostname of the instance.",
    ),
    subject(
        Some('o'),
        "local-ipv4",
        "local-ipv4",
        "meta-data/local-ipv4",
        "Public IP address if launched with direct addressing; private IP address if launched with public addressing.",
    ),
    subject(
        Some('k'),
        "kernel-id",
        "kernel-id",
        "meta-data/kernel-id",
        "The ID of the kernel launched with this instance, if applicable.",
    ),
    subject(
        Some('z'),
        "availability-zone",
        "placement",
        "meta-data/placement/availability-zone",
        "The availability zone in which the instance launched. Same as placement",
    ),
    subject(Some('R'), "region", "region", "meta-data/placement/region", "The region in which the instance launched."),
    subject(Some('P'), "partition", "partition", "meta-data/services/partition", "The AWS partition name."),
    subject(
        Some('c'),
        "product-codes",
        "product-codes",
        "meta-data/product-codes",
        "Product codes associated with this instance.",
    ),
    subject(
        Some('p'),
        "public-hostname",
        "public-hostname",
        "meta-data/public-hostname",
        "The public hostname of the instance.",
    ),
    subject(Some('v'), "public-ipv4", "public-ipv4", "meta-data/public-ipv4", "NATted public IP Address"),
    subject(
        Some('u'),
        "public-keys",
        "public-keys",
        "meta-data/public-keys/",
        "Public keys. Only available if supplied at instance launch time",
    ),
    subject(
        Some('r'),
        "ramdisk-id",
        "ramdisk-id",
        "meta-data/ramdisk-id",
        "The ID of the RAM disk launched with this instance, if applicable.",
    ),
    subject(Some('e'), "reservation-id", "reservation-id", "meta-data/reservation-id", "ID of the reservation."),
    subject(
        Some('s'),
        "security-groups",
        "security-groups",
        "meta-data/security-groups",
        "Names of the security groups the instance is launched in. Only available if supplied at instance launch time",
    ),
    subject(
        Some('d'),
        "user-data",
        "user-data",
        "user-data",
        "User-supplied data.Only available if supplied at instance launch time.",
    ),
    subject(Some('g'), "tags", "tags", "meta-data/tags/instance/", "Tags assigned to this instance."),
];

/// Runs the tool; its exit code.
pub(crate) fn main(system: &System, arguments: &[OsString]) -> u8 {
    let words: Vec<String> = arguments.iter().map(|argument| argument.to_string_lossy().into_owned()).collect();
    if words.iter().any(|word| word == "--help") {
        print!("{}", help());
        return 0;
    }
    let http = HttpClient::new(system, ProxyOptions::default());
    let service = MetadataService::new(system, &http);
    let is_quiet = words.iter().any(|word| word == "--quiet" || word == "-q");
    let asked = match asked(&words) {
        Some(asked) => asked,
        None => {
            print!("{}", help());
            return 1;
        }
    };
    if instance_id(&service).is_none() {
        println!(
            "[ERROR] Command not valid outside EC2 instance. Please run this command within a running EC2 instance."
        );
        return 1;
    }
    for subject in asked {
        print!("{}", lines(&service, subject, is_quiet));
    }
    0
}

/// The subjects that were asked for, in their order; all without any. `None` when a word is no option.
fn asked(words: &[String]) -> Option<Vec<&'static Subject>> {
    let mut subjects = Vec::new();
    for word in words {
        match word.as_str() {
            "--all" => return Some(SUBJECTS.iter().collect()),
            "--quiet" | "-q" => {}
            word => {
                let is_it = |subject: &&Subject| match (word.strip_prefix("--"), word.strip_prefix('-')) {
                    (Some(long), _) => subject.long == long,
                    (None, Some(short)) => subject.short.is_some_and(|letter| short.chars().eq([letter])),
                    (None, None) => false,
                };
                subjects.push(SUBJECTS.iter().find(is_it)?);
            }
        }
    }
    Some(if subjects.is_empty() { SUBJECTS.iter().collect() } else { subjects })
}

fn lines(service: &MetadataService<'_>, subject: &Subject, is_quiet: bool) -> String {
    let get = |path: &str| service.get(path).ok().flatten();
    let head = |text: &str| if is_quiet { String::new() } else { text.to_owned() };
    let found = get(subject.path);
    match subject.long {
        "block-device-mapping" | "tags" => {
            let Some(names) = found else {
                return format!("{}not available\n", head(&format!("{}: \n", subject.label)));
            };
            let entry = |name: &str| {
                let value = get(&format!("{}{}", subject.path, crate::http_client::encode(name))).unwrap_or_default();
                format!("{}{value}\n", head(&format!("\t {name}: ")))
            };
            head(&format!("{}: \n", subject.label)) + &names.lines().map(entry).collect::<String>()
        }
        "public-keys" => {
            let Some(names) = found else { return format!("{}not available\n", head("public-keys: \n")) };
            head("public-keys: \n") + &names.lines().map(|line| public_key(&get, line, is_quiet)).collect::<String>()
        }
        _ => {
            let value = found.as_deref().map(str::trim_end).filter(|value| !value.is_empty());
            format!("{}{}\n", head(&format!("{}: ", subject.label)), value.unwrap_or("not available"))
        }
    }
}

fn public_key(get: &impl Fn(&str) -> Option<String>, line: &str, is_quiet: bool) -> String {
    let (index, name) = line.split_once('=').unwrap_or((line, ""));
    let format = get(&format!("meta-data/public-keys/{index}/")).unwrap_or_default();
    let key = get(&format!("meta-data/public-keys/{index}/{}", format.trim())).unwrap_or_default();
    let head = format!("keyname:{name}\nindex:{index}\nformat:{format}\nkey:(begins from next line)\n");
    format!("{}{}\n", if is_quiet { "" } else { &head }, key.trim_end())
}

fn help() -> String {
    let mut help = "ec2-metadata v0.1.2\n\
        Use to retrieve EC2 instance metadata from within a running EC2 instance. \n\
        e.g. to retrieve instance id: ec2-metadata -i\n\t\t to retrieve ami id: ec2-metadata -a\n\t\t to get help: \
        ec2-metadata --help\n\n\
        Usage: ec2-metadata <option>\nOptions:\n\
        --all                     Show all metadata information for this host (also default).\n"
        .to_owned();
    for Subject { short, long, help: text, .. } in SUBJECTS {
        let option = short.map_or_else(|| format!("--{long}"), |short| format!("-{short}/--{long}"));
        help.push_str(&format!("{option:<25} {text}\n"));
    }
    help.push_str("--quiet                   Suppress category keys from the output\n");
    help
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Server;

    fn printed(words: &[&str]) -> String {
        let server = Server::of_an_instance(|_| (404, String::new()));
        let root = tempfile::tempdir().unwrap();
        let system = System::under(root.path(), &server.environment());
        let http = HttpClient::new(&system, ProxyOptions::default());
        let service = MetadataService::new(&system, &http);
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let is_quiet = words.iter().any(|word| word == "--quiet");
        asked(&words).unwrap().into_iter().map(|subject| lines(&service, subject, is_quiet)).collect()
    }

    #[test]
    fn lines_are_the_published_ones() {
        assert_eq!(printed(&["-i"]), "instance-id: i-0123456789abcdef0\n");
        assert_eq!(printed(&["--availability-zone", "-k"]), "placement: eu-west-1a\nkernel-id: not available\n");
        assert_eq!(printed(&["-o", "--quiet"]), "172.31.38.7\n");
        assert_eq!(
            printed(&["-u"]),
            "public-keys: \nkeyname:mykey\nindex:0\nformat:openssh-key\nkey:(begins from next line)\nssh-rsa AAAA mykey\n"
        );
        assert_eq!(printed(&["-b"]), "block-device-mapping: \n\t ami: /dev/xvda\n");
    }

    #[test]
    fn a_word_that_is_no_option_is_refused() {
        for wrong in ["-Z", "--nothing", "i", "-ii", "-"] {
            assert!(asked(&[wrong.to_owned()]).is_none(), "{wrong}");
        }
        assert_eq!(asked(&[]).unwrap().len(), SUBJECTS.len());
    }
}
