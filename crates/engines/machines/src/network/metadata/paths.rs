//! A document as AWS's tree of paths, and what a path answers.
//!
//! Invariants:
//! - Pure: a document and a path in, bytes out.
//! - A directory lists its names, one a line without a line end after the last; those of directories end with a slash.

use std::collections::{BTreeMap, BTreeSet};

use super::MetadataDocument;

/// Versions that are answered as the latest is; AWS lists some thirty.
const VERSIONS: &[&str] = &[
    "1.0",
    "2007-01-19",
    "2007-03-01",
    "2007-08-29",
    "2007-10-10",
    "2007-12-15",
    "2008-02-01",
    "2008-09-01",
    "2009-04-04",
    "2011-01-01",
    "2011-05-01",
    "2012-01-12",
    "2014-02-25",
    "2014-11-05",
    "2015-10-20",
    "2016-04-19",
    "2016-06-30",
    "2016-09-02",
    "2018-03-28",
    "2018-08-17",
    "2018-09-24",
    "2019-10-01",
    "2020-10-27",
    "2021-01-03",
    "2021-03-23",
    "2021-07-15",
    "2022-09-24",
    "2024-04-11",
    "latest",
];

/// What a path (without its query) answers. `None`: not found.
pub(super) fn answer(document: &MetadataDocument, path: &str) -> Option<Vec<u8>> {
    let path = path.trim_start_matches('/');
    let (version, rest) = path.split_once('/').unwrap_or((path, ""));
    if version.is_empty() {
        return Some(VERSIONS.join("\n").into_bytes());
    }
    if !VERSIONS.contains(&version) {
        return None;
    }
    let (category, rest) = rest.split_once('/').unwrap_or((rest, ""));
    match category {
        "" => {
            let user_data = if document.user_data.is_some() { "\nuser-data" } else { "" };
            Some(format!("dynamic\nmeta-data{user_data}").into_bytes())
        }
        "user-data" => document.user_data.clone(),
        "meta-data" if rest.trim_end_matches('/') == "public-keys" => public_keys(document),
        "meta-data" => look_up(&meta_data(document), rest),
        "dynamic" => look_up(&dynamic(document), rest),
        _ => None,
    }
}

type Tree = BTreeMap<String, String>;

fn look_up(tree: &Tree, path: &str) -> Option<Vec<u8>> {
    let path = path.trim_end_matches('/');
    if let Some(content) = tree.get(path) {
        return Some(content.clone().into_bytes());
    }
    let prefix = if path.is_empty() { String::new() } else { format!("{path}/") };
    let mut names = BTreeSet::new();
    for below in tree.range(prefix.clone()..).map(|(path, _)| path).take_while(|below| below.starts_with(&prefix)) {
        let below = &below[prefix.len()..];
        names.insert(below.split_once('/').map_or_else(|| below.to_owned(), |(directory, _)| format!("{directory}/")));
    }
    if names.is_empty() {
        return None;
    }
    let names: Vec<String> = names.into_iter().collect();
    Some(names.join("\n").into_bytes())
}

fn dynamic(document: &MetadataDocument) -> Tree {
    let mut tree = Tree::new();
    put(&mut tree, "instance-identity/document", &document.identity_document);
    put(&mut tree, "instance-identity/signature", &document.identity_signature);
    put(&mut tree, "instance-identity/pkcs7", &document.identity_pkcs7);
    tree
}

fn meta_data(document: &MetadataDocument) -> Tree {
    let mut tree = Tree::new();
    let (private, public) = (address(document.private_address), address(document.public_address));
    for (path, content) in [
        ("ami-id", document.image_id.as_str()),
        ("ami-manifest-path", "(unknown)"),
        ("autoscaling/target-lifecycle-state", &document.lifecycle_state),
        ("block-device-mapping/ami", "/dev/sda1"),
        ("block-device-mapping/root", "/dev/sda1"),
        ("events/maintenance/history", "[]"),
        ("events/maintenance/scheduled", "[]"),
        ("hostname", &document.hostname),
        ("instance-action", "none"),
        ("instance-id", &document.instance_id),
        ("instance-life-cycle", &document.life_cycle),
        ("instance-type", &document.instance_type),
        ("local-hostname", &document.hostname),
        ("local-ipv4", &private),
        ("mac", &document.mac),
        ("placement/availability-zone", &document.zone),
        ("placement/availability-zone-id", &document.zone_id),
        ("placement/region", &document.region),
        ("profile", "default-hvm"),
        ("public-hostname", &document.public_hostname),
        ("public-ipv4", &public),
        ("reservation-id", &document.reservation_id),
        ("security-groups", &document.group_names.join("\n")),
        ("services/domain", &document.domain),
        ("services/partition", &document.partition),
        ("system", "xen"),
    ] {
        put(&mut tree, path, content);
    }
    put(&mut tree, "ami-launch-index", &document.launch_index.to_string());
    interface(&mut tree, document, &private, &public);
    identity(&mut tree, document);
    if document.options.tags {
        // A key with a slash cannot be a path; AWS refuses such tags where tags are told.
        for (key, value) in document.tags.iter().filter(|(key, _)| !key.contains('/')) {
            tree.insert(format!("tags/instance/{key}"), value.clone());
        }
    }
    tree.extend(document.more.clone());
    tree
}

fn identity(tree: &mut Tree, document: &MetadataDocument) {
    for (index, (_, line)) in document.public_keys.iter().enumerate() {
        put(tree, &format!("public-keys/{index}/openssh-key"), line);
    }
    if let Some(info) = &document.iam_info {
        put(tree, "iam/info", info);
    }
    for (role, credentials) in &document.credentials {
        put(tree, &format!("iam/security-credentials/{role}"), credentials);
    }
}

fn interface(tree: &mut Tree, document: &MetadataDocument, private: &str, public: &str) {
    if document.mac.is_empty() {
        return;
    }
    let base = format!("network/interfaces/macs/{}", document.mac);
    for (name, content) in [
        ("device-number", "0"),
        ("interface-id", document.interface_id.as_str()),
        ("local-hostname", &document.hostname),
        ("local-ipv4s", private),
        ("mac", &document.mac),
        ("owner-id", &document.owner_id),
        ("public-hostname", &document.public_hostname),
        ("public-ipv4s", public),
        ("security-group-ids", &document.group_ids.join("\n")),
        ("security-groups", &document.group_names.join("\n")),
        ("subnet-id", &document.subnet_id),
        ("subnet-ipv4-cidr-block", &document.subnet_cidr),
        ("vpc-id", &document.vpc_id),
        ("vpc-ipv4-cidr-block", document.vpc_cidrs.first().map_or("", String::as_str)),
        ("vpc-ipv4-cidr-blocks", &document.vpc_cidrs.join("\n")),
    ] {
        put(tree, &format!("{base}/{name}"), content);
    }
    if !public.is_empty() {
        put(tree, &format!("{base}/ipv4-associations/{public}"), private);
    }
}

fn put(tree: &mut Tree, path: &str, content: &str) {
    if !content.is_empty() {
        tree.insert(path.to_owned(), content.to_owned());
    }
}

fn address(address: Option<std::net::Ipv4Addr>) -> String {
    address.map(|address| address.to_string()).unwrap_or_default()
}

/// The listing of public keys is the one that shows numbers with names.
fn public_keys(document: &MetadataDocument) -> Option<Vec<u8>> {
    let names: Vec<String> =
        document.public_keys.iter().enumerate().map(|(index, (name, _))| format!("{index}={name}")).collect();
    (!names.is_empty()).then(|| names.join("\n").into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document() -> MetadataDocument {
        MetadataDocument {
            instance_id: "i-1".into(),
            mac: "02:00:00:00:00:05".into(),
            zone: "us-east-1a".into(),
            region: "us-east-1".into(),
            private_address: Some(std::net::Ipv4Addr::new(10, 0, 0, 5)),
            group_names: vec!["web".into(), "ssh".into()],
            public_keys: vec![("mykey".into(), "ssh-ed25519 AAAA mykey".into())],
            credentials: [("app".to_owned(), "{}".to_owned())].into(),
            tags: [("Name".to_owned(), "one".to_owned())].into(),
            identity_document: "{}".into(),
            ..MetadataDocument::default()
        }
    }

    fn ask(path: &str) -> Option<String> {
        answer(&document(), path).map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn leaves_and_directories_answer_as_aws_does() {
        assert_eq!(ask("/latest/meta-data/local-ipv4").unwrap(), "10.0.0.5");
        assert_eq!(ask("/2021-07-15/meta-data/placement/region").unwrap(), "us-east-1");
        assert_eq!(ask("/latest/meta-data/placement/").unwrap(), "availability-zone\nregion");
        assert_eq!(ask("/latest/meta-data/placement").unwrap(), "availability-zone\nregion");
        assert_eq!(ask("/latest/meta-data/security-groups").unwrap(), "web\nssh");
        assert_eq!(ask("/latest/meta-data/public-keys/").unwrap(), "0=mykey");
        assert_eq!(ask("/latest/meta-data/public-keys/0/").unwrap(), "openssh-key");
        assert_eq!(ask("/latest/meta-data/iam/security-credentials/").unwrap(), "app");
        assert_eq!(ask("/latest/meta-data/network/interfaces/macs/").unwrap(), "02:00:00:00:00:05/");
        assert_eq!(ask("/latest/dynamic/instance-identity/").unwrap(), "document");
        assert_eq!(ask("/latest/").unwrap(), "dynamic\nmeta-data");
        assert!(ask("/").unwrap().ends_with("\nlatest"));
        let top = ask("/latest/meta-data/").unwrap();
        assert!(top.lines().any(|line| line == "placement/") && top.lines().any(|line| line == "instance-id"));
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        for path in [
            "/latest/user-data",
            "/latest/meta-data/public-ipv4",
            "/1999-01-01/meta-data/",
            "/latest/x",
            "/latest/meta-data/tags/instance/Name",
            "/latest/meta-data/place",
            "/latest/meta-data/iam/info",
        ] {
            assert_eq!(ask(path), None, "{path}");
        }
    }

    #[test]
    fn tags_are_told_only_where_the_options_say_so() {
        let mut document = document();
        document.options.tags = true;
        assert_eq!(answer(&document, "/latest/meta-data/tags/instance/Name").unwrap(), b"one");
        assert_eq!(answer(&document, "/latest/meta-data/tags/instance/").unwrap(), b"Name");
    }
}
