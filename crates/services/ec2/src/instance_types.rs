//! Instance types: how much of the machine an instance may use.
//!
//! Invariant: an instance's limits are those of its type; what the machine hasn't, no type gives.

use api::ec2::*;
use store::View;

use crate::errors::{self, Refusal};
use crate::filters::Filters;
use crate::listing::{text, truth};
use crate::paging::Page;
use crate::request::Request;

/// Types that belong together.
struct Family {
    name: &'static str,
    arm: bool,
    current: bool,
    burstable: bool,
    threads_per_core: i32,
    /// Size, virtual processors, memory in MiB.
    sizes: &'static [(&'static str, i32, i64)],
}

/// A type.
#[derive(Clone, Copy)]
pub(crate) struct InstanceType {
    family: &'static Family,
    size: &'static str,
    pub(crate) processors: i32,
    pub(crate) memory_mib: i64,
}

impl InstanceType {
    pub(crate) fn name(&self) -> String {
        format!("{}.{}", self.family.name, self.size)
    }

    pub(crate) fn cores(&self) -> i32 {
        (self.processors / self.family.threads_per_core).max(1)
    }

    pub(crate) fn threads_per_core(&self) -> i32 {
        self.processors / self.cores()
    }
}

/// The type's one and only EC2 default, from its first days.
pub(crate) const DEFAULT: &str = "m1.small";

const T2: &[(&str, i32, i64)] = &[
    ("nano", 1, 512),
    ("micro", 1, 1024),
    ("small", 1, 2048),
    ("medium", 2, 4096),
    ("large", 2, 8192),
    ("xlarge", 4, 16384),
    ("2xlarge", 8, 32768),
];
const T3: &[(&str, i32, i64)] = &[
    ("nano", 2, 512),
    ("micro", 2, 1024),
    ("small", 2, 2048),
    ("medium", 2, 4096),
    ("large", 2, 8192),
    ("xlarge", 4, 16384),
    ("2xlarge", 8, 32768),
];
const GENERAL: &[(&str, i32, i64)] = &[
    ("large", 2, 8192),
    ("xlarge", 4, 16384),
    ("2xlarge", 8, 32768),
    ("4xlarge", 16, 65536),
    ("8xlarge", 32, 131_072),
    ("12xlarge", 48, 196_608),
    ("16xlarge", 64, 262_144),
    ("24xlarge", 96, 393_216),
];
const GENERAL_ARM: &[(&str, i32, i64)] = &[
    ("medium", 1, 4096),
    ("large", 2, 8192),
    ("xlarge", 4, 16384),
    ("2xlarge", 8, 32768),
    ("4xlarge", 16, 65536),
    ("8xlarge", 32, 131_072),
    ("12xlarge", 48, 196_608),
    ("16xlarge", 64, 262_144),
];
const COMPUTE: &[(&str, i32, i64)] = &[
    ("large", 2, 4096),
    ("xlarge", 4, 8192),
    ("2xlarge", 8, 16384),
    ("4xlarge", 16, 32768),
    ("9xlarge", 36, 73728),
    ("12xlarge", 48, 98304),
    ("18xlarge", 72, 147_456),
    ("24xlarge", 96, 196_608),
];
const COMPUTE_6: &[(&str, i32, i64)] = &[
    ("large", 2, 4096),
    ("xlarge", 4, 8192),
    ("2xlarge", 8, 16384),
    ("4xlarge", 16, 32768),
    ("8xlarge", 32, 65536),
    ("12xlarge", 48, 98304),
    ("16xlarge", 64, 131_072),
    ("24xlarge", 96, 196_608),
];
const COMPUTE_ARM: &[(&str, i32, i64)] = &[
    ("medium", 1, 2048),
    ("large", 2, 4096),
    ("xlarge", 4, 8192),
    ("2xlarge", 8, 16384),
    ("4xlarge", 16, 32768),
    ("8xlarge", 32, 65536),
    ("12xlarge", 48, 98304),
    ("16xlarge", 64, 131_072),
];
const MEMORY: &[(&str, i32, i64)] = &[
    ("large", 2, 16384),
    ("xlarge", 4, 32768),
    ("2xlarge", 8, 65536),
    ("4xlarge", 16, 131_072),
    ("8xlarge", 32, 262_144),
    ("12xlarge", 48, 393_216),
    ("16xlarge", 64, 524_288),
    ("24xlarge", 96, 786_432),
];
const MEMORY_ARM: &[(&str, i32, i64)] = &[
    ("medium", 1, 8192),
    ("large", 2, 16384),
    ("xlarge", 4, 32768),
    ("2xlarge", 8, 65536),
    ("4xlarge", 16, 131_072),
    ("8xlarge", 32, 262_144),
    ("12xlarge", 48, 393_216),
    ("16xlarge", 64, 524_288),
];
const M1: &[(&str, i32, i64)] = &[("small", 1, 1740), ("medium", 1, 3788), ("large", 2, 7680), ("xlarge", 4, 15360)];
const M3: &[(&str, i32, i64)] = &[("medium", 1, 3840), ("large", 2, 7680), ("xlarge", 4, 15360), ("2xlarge", 8, 30720)];
const M4: &[(&str, i32, i64)] = &[
    ("large", 2, 8192),
    ("xlarge", 4, 16384),
    ("2xlarge", 8, 32768),
    ("4xlarge", 16, 65536),
    ("10xlarge", 40, 163_840),
    ("16xlarge", 64, 262_144),
];
const C3: &[(&str, i32, i64)] =
    &[("large", 2, 3840), ("xlarge", 4, 7680), ("2xlarge", 8, 15360), ("4xlarge", 16, 30720), ("8xlarge", 32, 61440)];
const R3: &[(&str, i32, i64)] = &[
    ("large", 2, 15360),
    ("xlarge", 4, 31232),
    ("2xlarge", 8, 62464),
    ("4xlarge", 16, 124_928),
    ("8xlarge", 32, 249_856),
];
const T1: &[(&str, i32, i64)] = &[("micro", 1, 627)];

const fn family(
    name: &'static str,
    arm: bool,
    current: bool,
    threads_per_core: i32,
    sizes: &'static [(&'static str, i32, i64)],
) -> Family {
    let burstable = name.as_bytes()[0] == b't' && name.as_bytes()[1] != b'1';
    Family { name, arm, current, burstable, threads_per_core, sizes }
}

static FAMILIES: &[Family] = &[
    family("c3", false, false, 2, C3),
    family("c4", false, true, 2, C3),
    family("c5", false, true, 2, COMPUTE),
    family("c5a", false, true, 2, COMPUTE_6),
    family("c6a", false, true, 2, COMPUTE_6),
    family("c6g", true, true, 1, COMPUTE_ARM),
    family("c6i", false, true, 2, COMPUTE_6),
    family("c7g", true, true, 1, COMPUTE_ARM),
    family("c7i", false, true, 2, COMPUTE_6),
    family("m1", false, false, 1, M1),
    family("m3", false, false, 2, M3),
    family("m4", false, true, 2, M4),
    family("m5", false, true, 2, GENERAL),
    family("m5a", false, true, 2, GENERAL),
    family("m6a", false, true, 2, GENERAL),
    family("m6g", true, true, 1, GENERAL_ARM),
    family("m6i", false, true, 2, GENERAL),
    family("m7g", true, true, 1, GENERAL_ARM),
    family("m7i", false, true, 2, GENERAL),
    family("r3", false, false, 2, R3),
    family("r5", false, true, 2, MEMORY),
    family("r5a", false, true, 2, MEMORY),
    family("r6g", true, true, 1, MEMORY_ARM),
    family("r6i", false, true, 2, MEMORY),
    family("r7g", true, true, 1, MEMORY_ARM),
    family("t1", false, false, 1, T1),
    family("t2", false, true, 1, T2),
    family("t3", false, true, 2, T3),
    family("t3a", false, true, 2, T3),
    family("t4g", true, true, 1, T3),
];

fn all() -> impl Iterator<Item = InstanceType> {
    FAMILIES.iter().flat_map(|family| {
        family.sizes.iter().map(move |&(size, processors, memory_mib)| InstanceType {
            family,
            size,
            processors,
            memory_mib,
        })
    })
}

/// The type of that name.
pub(crate) fn find(name: &str) -> Option<InstanceType> {
    let (family, size) = name.split_once('.')?;
    all().find(|known| known.family.name == family && known.size == size)
}

const KNOWN: &[&str] = &[
    "auto-recovery-supported",
    "bare-metal",
    "burstable-performance-supported",
    "current-generation",
    "dedicated-hosts-supported",
    "ebs-info.ebs-optimized-support",
    "ebs-info.encryption-support",
    "ebs-info.nvme-support",
    "free-tier-eligible",
    "hibernation-supported",
    "hypervisor",
    "instance-storage-supported",
    "instance-type",
    "memory-info.size-in-mib",
    "network-info.ena-support",
    "network-info.ipv6-supported",
    "network-info.maximum-network-interfaces",
    "network-info.network-performance",
    "processor-info.supported-architecture",
    "supported-boot-mode",
    "supported-root-device-type",
    "supported-usage-class",
    "supported-virtualization-type",
    "vcpu-info.default-cores",
    "vcpu-info.default-threads-per-core",
    "vcpu-info.default-vcpus",
];

pub(crate) fn describe(
    _: &View<'_>,
    _: &Request,
    input: DescribeInstanceTypesInput,
) -> Result<DescribeInstanceTypesOutput, Refusal> {
    let filters = Filters::parse(input.filters, KNOWN)?;
    let page = Page::parse(input.max_results, input.next_token.as_deref())?;
    let unknown: Vec<String> = input.instance_types.iter().filter(|name| find(name).is_none()).cloned().collect();
    if !unknown.is_empty() {
        return Err(errors::no_such_instance_types(&unknown));
    }
    let is_named = |name: &String| input.instance_types.is_empty() || input.instance_types.contains(name);
    let mut types: Vec<InstanceTypeInfo> = all().filter(|known| is_named(&known.name())).map(described).collect();
    types.retain(|info| filters.pass(&[], |name| values(info, name)));
    let id = |info: &InstanceTypeInfo| info.instance_type.clone().unwrap_or_default();
    types.sort_by_key(id);
    let (instance_types, next_token) = page.of(types.into_iter(), id);
    Ok(DescribeInstanceTypesOutput { instance_types, next_token })
}

fn values(info: &InstanceTypeInfo, name: &str) -> Vec<String> {
    let number = |number: Option<i32>| number.map(|number| number.to_string()).into_iter().collect();
    let processors = info.v_cpu_info.as_ref();
    match name {
        "bare-metal"
        | "auto-recovery-supported"
        | "dedicated-hosts-supported"
        | "hibernation-supported"
        | "instance-storage-supported"
        | "free-tier-eligible" => vec!["false".to_owned()],
        "burstable-performance-supported" => truth(info.burstable_performance_supported),
        "current-generation" => truth(info.current_generation),
        "hypervisor" => text(&info.hypervisor),
        "instance-type" => text(&info.instance_type),
        "memory-info.size-in-mib" => {
            let size = info.memory_info.as_ref().and_then(|memory| memory.size_in_mi_b);
            size.map(|size| size.to_string()).into_iter().collect()
        }
        "network-info.maximum-network-interfaces" => vec!["1".to_owned()],
        "network-info.ipv6-supported" => vec!["false".to_owned()],
        "processor-info.supported-architecture" => {
            info.processor_info.iter().flat_map(|processor| processor.supported_architectures.clone()).collect()
        }
        "supported-root-device-type" => info.supported_root_device_types.clone(),
        "supported-usage-class" => info.supported_usage_classes.clone(),
        "supported-virtualization-type" => info.supported_virtualization_types.clone(),
        "vcpu-info.default-cores" => number(processors.and_then(|info| info.default_cores)),
        "vcpu-info.default-threads-per-core" => number(processors.and_then(|info| info.default_threads_per_core)),
        "vcpu-info.default-vcpus" => number(processors.and_then(|info| info.default_v_cpus)),
        _ => Vec::new(),
    }
}

fn described(known: InstanceType) -> InstanceTypeInfo {
    let family = known.family;
    let architecture = if family.arm { "arm64" } else { "x86_64" };
    InstanceTypeInfo {
        auto_recovery_supported: Some(false),
        bare_metal: Some(false),
        burstable_performance_supported: Some(family.burstable),
        current_generation: Some(family.current),
        dedicated_hosts_supported: Some(false),
        free_tier_eligible: Some(false),
        hibernation_supported: Some(false),
        instance_storage_supported: Some(false),
        instance_type: Some(known.name()),
        memory_info: Some(MemoryInfo { size_in_mi_b: Some(known.memory_mib) }),
        network_info: Some(NetworkInfo {
            ipv4_addresses_per_interface: Some(1),
            ipv6_supported: Some(false),
            maximum_network_cards: Some(1),
            maximum_network_interfaces: Some(1),
            ..NetworkInfo::default()
        }),
        processor_info: Some(ProcessorInfo {
            supported_architectures: vec![architecture.to_owned()],
            ..ProcessorInfo::default()
        }),
        supported_root_device_types: vec!["ebs".to_owned()],
        supported_usage_classes: vec!["on-demand".to_owned()],
        supported_virtualization_types: vec!["hvm".to_owned()],
        v_cpu_info: Some(VCpuInfo {
            default_cores: Some(known.cores()),
            default_threads_per_core: Some(known.threads_per_core()),
            default_v_cpus: Some(known.processors),
            ..VCpuInfo::default()
        }),
        ..InstanceTypeInfo::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_is_found_by_its_name_and_stands_once() {
        let mut names: Vec<String> = all().map(|known| known.name()).collect();
        assert!(names.iter().all(|name| find(name).is_some_and(|found| found.name() == *name)));
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(find("t2.micro").is_some_and(|micro| (micro.processors, micro.memory_mib) == (1, 1024)));
        assert!(find("t2").is_none() && find("t2.huge").is_none() && find(DEFAULT).is_some());
    }
}
