//! Rules of security groups: from what a client writes to what is kept, and back.
//!
//! Invariants:
//! - A kept rule is canonical: protocols by name where they have one, networks without host bits, one source each. So
//!   two rules are the same exactly if they are equal.
//! - What can't be kept is refused, never left out.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use api::ec2::*;

use crate::errors::Refusal;
use crate::place::Place;
use crate::rows::{Rule, RuleRow, Source};

/// AWS: the longest description of a group or rule.
pub(crate) const DESCRIPTION_CHARACTERS_MAX: usize = 255;

/// The ways in which the older parameters of a call say one permission.
#[derive(Debug, Default)]
pub(crate) struct Legacy {
    pub(crate) ip_protocol: Option<String>,
    pub(crate) from_port: Option<i32>,
    pub(crate) to_port: Option<i32>,
    pub(crate) cidr_ip: Option<String>,
    pub(crate) source_group_name: Option<String>,
    pub(crate) source_group_owner: Option<String>,
}

impl Legacy {
    fn is_empty(&self) -> bool {
        self.ip_protocol.is_none()
            && self.from_port.is_none()
            && self.to_port.is_none()
            && self.cidr_ip.is_none()
            && self.source_group_name.is_none()
            && self.source_group_owner.is_none()
    }

    fn into_permission(self) -> IpPermission {
        let pair = self.source_group_name.map(|name| UserIdGroupPair {
            group_name: Some(name),
            user_id: self.source_group_owner,
            ..UserIdGroupPair::default()
        });
        // A source group without a protocol means everything from it.
        let ip_protocol = self.ip_protocol.or_else(|| pair.as_ref().map(|_| "-1".to_owned()));
        IpPermission {
            ip_protocol,
            from_port: self.from_port,
            to_port: self.to_port,
            ip_ranges: self
                .cidr_ip
                .map(|cidr| IpRange { cidr_ip: Some(cidr), description: None })
                .into_iter()
                .collect(),
            user_id_group_pairs: pair.into_iter().collect(),
            ..IpPermission::default()
        }
    }
}

/// The permissions of a call, in whichever of the two ways it says them.
pub(crate) fn permissions(legacy: Legacy, permissions: Vec<IpPermission>) -> Result<Vec<IpPermission>, Refusal> {
    match (legacy.is_empty(), permissions.is_empty()) {
        (true, true) => Err(Refusal::Missing("ipPermissions".into())),
        (true, false) => Ok(permissions),
        (false, true) => Ok(vec![legacy.into_permission()]),
        (false, false) => Err(Refusal::Combination("ipPermissions", "ipProtocol")),
    }
}

/// A rule that a client asked for, with its description.
pub(crate) type Asked = (Rule, Option<String>);

/// The rules in a permission: one for each source. `group` finds a group by id or name.
pub(crate) fn rules_of(
    place: &Place,
    permission: &IpPermission,
    group: &mut dyn FnMut(GroupName<'_>) -> Result<String, Refusal>,
) -> Result<Vec<Asked>, Refusal> {
    let (protocol, ports) = protocol_and_ports(permission)?;
    let mut rules = Vec::new();
    let mut add = |source, description: &Option<String>| -> Result<(), Refusal> {
        check_description(description.as_deref())?;
        rules.push((Rule { protocol: protocol.clone(), ports, source }, description.clone()));
        Ok(())
    };
    for IpRange { cidr_ip, description } in &permission.ip_ranges {
        add(Source::Ipv4(network(cidr_ip.as_deref(), "cidrIp", false)?), description)?;
    }
    for Ipv6Range { cidr_ipv6, description } in &permission.ipv6_ranges {
        add(Source::Ipv6(network(cidr_ipv6.as_deref(), "cidrIpv6", true)?), description)?;
    }
    if let Some(list) = permission.prefix_list_ids.first() {
        let id = list.prefix_list_id.clone().unwrap_or_default();
        return Err(Refusal::NotFound { kind: "pl", ids: vec![id] });
    }
    for pair in &permission.user_id_group_pairs {
        let named = match (&pair.group_id, &pair.group_name) {
            (Some(id), _) => GroupName::Id(id),
            (None, Some(name)) => GroupName::Name(name),
            (None, None) => return Err(Refusal::Missing("groupId".into())),
        };
        // Groups of other accounts can't be seen, as their networks don't meet ours.
        if pair.user_id.as_deref().is_some_and(|user| user != place.account.as_str()) {
            return Err(Refusal::NotFound { kind: "sg", ids: vec![named.text().to_owned()] });
        }
        add(Source::Group(group(named)?), &pair.description)?;
    }
    if rules.is_empty() { Err(Refusal::Missing("cidrIp or sourceSecurityGroup".into())) } else { Ok(rules) }
}

/// How a client names a group.
#[derive(Clone, Copy, Debug)]
pub(crate) enum GroupName<'a> {
    Id(&'a str),
    Name(&'a str),
}

impl<'a> GroupName<'a> {
    fn text(self) -> &'a str {
        let (Self::Id(text) | Self::Name(text)) = self;
        text
    }
}

type Ports = Option<(i32, i32)>;

fn protocol_and_ports(permission: &IpPermission) -> Result<(String, Ports), Refusal> {
    let given = permission.ip_protocol.as_deref().ok_or(Refusal::Missing("ipProtocol".into()))?;
    let protocol = match given.to_ascii_lowercase().as_str() {
        "-1" | "all" => "-1".to_owned(),
        "tcp" | "6" => "tcp".to_owned(),
        "udp" | "17" => "udp".to_owned(),
        "icmp" | "1" => "icmp".to_owned(),
        "icmpv6" | "58" => "icmpv6".to_owned(),
        number => match number.parse::<u8>() {
            Ok(number) => number.to_string(),
            Err(_) => {
                return Err(Refusal::InvalidValue(format!(
                    "Invalid value '{given}' for IP protocol. Unknown protocol."
                )));
            }
        },
    };
    let (from, to) = (permission.from_port, permission.to_port);
    let ports = match protocol.as_str() {
        "tcp" | "udp" => match (from, to) {
            (Some(-1), Some(-1)) => Some((0, 65_535)),
            (Some(from @ 0..=65_535), Some(to @ 0..=65_535)) if from <= to => Some((from, to)),
            (Some(from), Some(to)) => {
                return Err(Refusal::InvalidValue(format!("Invalid TCP/UDP port range ({from}:{to})")));
            }
            _ => {
                let sentence = "Invalid value 'Must specify both from and to ports with TCP/UDP.' for portRange.";
                return Err(Refusal::InvalidValue(sentence.to_owned()));
            }
        },
        "icmp" | "icmpv6" => match (from.unwrap_or(-1), to.unwrap_or(-1)) {
            (kind @ -1..=255, code @ -1..=255) => Some((kind, code)),
            (kind, code) => {
                return Err(Refusal::InvalidValue(format!("ICMP code ({code}) out of range for type ({kind})")));
            }
        },
        _ => None,
    };
    Ok((protocol, ports))
}

/// A network in its canonical form.
fn network(cidr: Option<&str>, parameter: &'static str, is_v6: bool) -> Result<String, Refusal> {
    let cidr = cidr.ok_or(Refusal::Missing(parameter.into()))?;
    let malformed = || Refusal::InvalidValue(format!("CIDR block {cidr} is malformed"));
    let (address, length) = cidr.split_once('/').ok_or_else(malformed)?;
    let address: IpAddr = address.parse().map_err(|_| malformed())?;
    let digits = !length.is_empty() && length.len() <= 3 && length.bytes().all(|digit| digit.is_ascii_digit());
    let length: u32 = length.parse().ok().filter(|_| digits).ok_or_else(malformed)?;
    match address {
        IpAddr::V4(address) if !is_v6 && length <= 32 => {
            let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
            Ok(format!("{}/{length}", Ipv4Addr::from(u32::from(address) & mask)))
        }
        IpAddr::V6(address) if is_v6 && length <= 128 => {
            let mask = u128::MAX.checked_shl(128 - length).unwrap_or(0);
            Ok(format!("{}/{length}", Ipv6Addr::from(u128::from(address) & mask)))
        }
        _ => Err(malformed()),
    }
}

/// A network in IPv6, in its canonical form; `None` for what is none.
pub(crate) fn ipv6_network(cidr: &str) -> Option<String> {
    network(Some(cidr), "", true).ok()
}

pub(crate) fn check_description(description: Option<&str>) -> Result<(), Refusal> {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || " ._-:/()#,@[]+=&;{}!$*".contains(letter);
    let fits = |text: &str| text.chars().count() <= DESCRIPTION_CHARACTERS_MAX && text.chars().all(allowed);
    if description.is_none_or(fits) {
        return Ok(());
    }
    Err(Refusal::InvalidValue(
        "Invalid rule description. Valid descriptions are strings less than 256 characters from the following set:  \
         a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*"
            .to_owned(),
    ))
}

/// A rule as EC2 spells it when it refuses one: `peer: 0.0.0.0/0, TCP, from port: 80, to port: 80, ALLOW`.
pub(crate) fn spelled(rule: &Rule) -> String {
    let (Source::Ipv4(peer) | Source::Ipv6(peer) | Source::Group(peer)) = &rule.source;
    let protocol = if rule.protocol == "-1" { "ALL".to_owned() } else { rule.protocol.to_ascii_uppercase() };
    match (rule.ports, rule.protocol.as_str()) {
        (Some((from, to)), "tcp" | "udp") => {
            format!("peer: {peer}, {protocol}, from port: {from}, to port: {to}, ALLOW")
        }
        (Some((kind, code)), _) => format!("peer: {peer}, {protocol}, type: {kind}, code: {code}, ALLOW"),
        (None, _) => format!("peer: {peer}, {protocol}, ALLOW"),
    }
}

/// Rules as permissions: those of the same protocol and ports together.
pub(crate) fn as_permissions(place: &Place, rules: &[RuleRow]) -> Vec<IpPermission> {
    let mut permissions: Vec<IpPermission> = Vec::new();
    for RuleRow { rule, description, .. } in rules {
        let (from_port, to_port) = rule.ports.unzip();
        let is_same = |permission: &IpPermission| {
            permission.ip_protocol.as_ref() == Some(&rule.protocol)
                && (permission.from_port, permission.to_port) == (from_port, to_port)
        };
        let at = permissions.iter().position(is_same).unwrap_or(permissions.len());
        if at == permissions.len() {
            let ip_protocol = Some(rule.protocol.clone());
            permissions.push(IpPermission { ip_protocol, from_port, to_port, ..IpPermission::default() });
        }
        let (permission, description) = (&mut permissions[at], description.clone());
        match &rule.source {
            Source::Ipv4(cidr) => permission.ip_ranges.push(IpRange { cidr_ip: Some(cidr.clone()), description }),
            Source::Ipv6(cidr) => permission.ipv6_ranges.push(Ipv6Range { cidr_ipv6: Some(cidr.clone()), description }),
            Source::Group(id) => permission.user_id_group_pairs.push(UserIdGroupPair {
                description,
                group_id: Some(id.clone()),
                user_id: Some(place.account.to_string()),
                ..UserIdGroupPair::default()
            }),
        }
    }
    permissions
}

/// A rule as its own thing.
pub(crate) fn described(place: &Place, group_id: &str, row: &RuleRow, is_egress: bool) -> SecurityGroupRule {
    let (from_port, to_port) = row.rule.ports.unzip();
    let (cidr_ipv4, cidr_ipv6, group) = sources(&row.rule.source);
    SecurityGroupRule {
        cidr_ipv4,
        cidr_ipv6,
        description: row.description.clone(),
        // EC2 says -1 where a protocol has no ports.
        from_port: Some(from_port.unwrap_or(-1)),
        to_port: Some(to_port.unwrap_or(-1)),
        group_id: Some(group_id.to_owned()),
        group_owner_id: Some(place.account.to_string()),
        ip_protocol: Some(row.rule.protocol.clone()),
        is_egress: Some(is_egress),
        referenced_group_info: group.map(|id| ReferencedSecurityGroup {
            group_id: Some(id),
            user_id: Some(place.account.to_string()),
            ..ReferencedSecurityGroup::default()
        }),
        security_group_rule_arn: Some(format!(
            "arn:aws:ec2:{}:{}:security-group-rule/{}",
            place.region, place.account, row.id
        )),
        security_group_rule_id: Some(row.id.clone()),
        ..SecurityGroupRule::default()
    }
}

/// A rule that was taken out.
pub(crate) fn revoked(group_id: &str, row: &RuleRow, is_egress: bool) -> RevokedSecurityGroupRule {
    let (from_port, to_port) = row.rule.ports.unzip();
    let (cidr_ipv4, cidr_ipv6, referenced_group_id) = sources(&row.rule.source);
    RevokedSecurityGroupRule {
        cidr_ipv4,
        cidr_ipv6,
        description: row.description.clone(),
        from_port: Some(from_port.unwrap_or(-1)),
        to_port: Some(to_port.unwrap_or(-1)),
        group_id: Some(group_id.to_owned()),
        ip_protocol: Some(row.rule.protocol.clone()),
        is_egress: Some(is_egress),
        referenced_group_id,
        security_group_rule_id: Some(row.id.clone()),
        ..RevokedSecurityGroupRule::default()
    }
}

/// A source by its kind: IPv4, IPv6, group.
fn sources(source: &Source) -> (Option<String>, Option<String>, Option<String>) {
    match source {
        Source::Ipv4(cidr) => (Some(cidr.clone()), None, None),
        Source::Ipv6(cidr) => (None, Some(cidr.clone()), None),
        Source::Group(id) => (None, None, Some(id.clone())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_loses_its_host_bits_and_must_be_of_its_kind() {
        let v4 = |cidr: &str| network(Some(cidr), "cidrIp", false);
        assert_eq!(v4("10.1.2.3/8").unwrap(), "10.0.0.0/8");
        assert_eq!(v4("0.0.0.0/0").unwrap(), "0.0.0.0/0");
        assert_eq!(v4("10.0.0.1/32").unwrap(), "10.0.0.1/32");
        assert_eq!(network(Some("2001:DB8::1/64"), "cidrIpv6", true).unwrap(), "2001:db8::/64");
        assert_eq!(network(Some("::/0"), "cidrIpv6", true).unwrap(), "::/0");
        for bad in ["10.0.0.1", "10.0.0.1/33", "10.0.0/8", "::/0", "10.0.0.0/+8", "10.0.0.0/", "x/8", "10.0.0.0/0008"] {
            let refusal = v4(bad).unwrap_err().to_string();
            assert_eq!(refusal, format!("CIDR block {bad} is malformed"));
        }
        assert!(network(Some("10.0.0.0/8"), "cidrIpv6", true).is_err());
    }

    fn permission(protocol: &str, from: Option<i32>, to: Option<i32>) -> Result<(String, Ports), Refusal> {
        let ip_protocol = Some(protocol.to_owned());
        protocol_and_ports(&IpPermission { ip_protocol, from_port: from, to_port: to, ..IpPermission::default() })
    }

    #[test]
    fn protocols_have_one_name_and_their_own_kind_of_ports() {
        assert_eq!(permission("6", Some(80), Some(80)).unwrap(), ("tcp".into(), Some((80, 80))));
        assert_eq!(permission("TCP", Some(-1), Some(-1)).unwrap(), ("tcp".into(), Some((0, 65_535))));
        assert_eq!(permission("-1", Some(1), Some(2)).unwrap(), ("-1".into(), None));
        assert_eq!(permission("icmp", Some(8), None).unwrap(), ("icmp".into(), Some((8, -1))));
        assert_eq!(permission("50", None, None).unwrap(), ("50".into(), None));
        for (protocol, from, to) in [
            ("tcp", None, None),
            ("tcp", Some(80), None),
            ("udp", Some(443), Some(80)),
            ("tcp", Some(0), Some(65_536)),
            ("icmp", Some(256), None),
            ("ipx", None, None),
            ("256", None, None),
        ] {
            assert!(matches!(permission(protocol, from, to), Err(Refusal::InvalidValue(_))), "{protocol}");
        }
    }
}
