//! Results of `thread_info`, `task_info`, `host_info`, `mach_vm_region` and their like: layouts and constants as a C compiler reads Apple's
//! headers.

use super::{facts, members, number};
use mach_wire::host::*;
use mach_wire::info::*;
use mach_wire::pod::{Layout, Pod};
use mach_wire::policy::*;
use mach_wire::types::*;
use mach_wire::vm::*;

macro_rules! layouts {
    ($($name:ident)*) => { vec![$((stringify!($name), $name::LAYOUT)),*] };
}

macro_rules! constants {
    ($($name:ident)*) => { vec![$((stringify!($name), $name as usize)),*] };
}

/// Compares structures with those of a file of facts. A field that is padding has no name in C.
fn layouts_agree(file: &str, ours: &[(&str, &Layout)]) {
    let facts = facts(file);
    assert_eq!(members(&facts["structures"]).count(), ours.len());
    for (name, fact) in members(&facts["structures"]) {
        let layout = ours.iter().find(|(ours, _)| ours == name);
        let layout = layout.unwrap_or_else(|| panic!("no {name}")).1;
        assert_eq!(layout.size, number(&fact["size"]), "{name}");
        assert_eq!(layout.align, number(&fact["align"]), "{name}");
        let fields = layout.fields.iter().map(|field| (field.name, field.offset));
        let fields = fields.filter(|(name, _)| *name != "pad");
        let wanted = members(&fact["fields"]).map(|(name, at)| (name.as_str(), number(at)));
        let (mut fields, mut wanted) = (fields.collect::<Vec<_>>(), wanted.collect::<Vec<_>>());
        fields.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(fields, wanted, "{name}");
    }
}

/// Compares constants with those of a file of facts.
fn constants_agree(file: &str, mut ours: Vec<(&str, usize)>) {
    let facts = facts(file);
    let mut wanted: Vec<_> = members(&facts["constants"])
        .map(|(name, value)| (name.as_str(), number(value)))
        .collect();
    ours.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(ours, wanted);
}

#[test]
fn what_threads_and_tasks_tell_has_the_layouts_of_the_headers() {
    let ours = layouts![
        thread_basic_info thread_identifier_info thread_extended_info task_absolutetime_info task_events_info
        task_basic_info_32 task_basic_info_64 task_thread_times_info mach_task_basic_info task_flags_info task_vm_info
    ];
    layouts_agree("info.json", &ours);
}

#[test]
fn what_hosts_regions_and_policies_tell_has_the_layouts_of_the_headers() {
    let ours = layouts![
        host_basic_info host_load_info host_cpu_load_info vm_statistics vm_statistics64 vm_region_extended_info
        vm_region_top_info vm_region_submap_info_64 vm_region_submap_short_info_64 thread_extended_policy
        thread_time_constraint_policy thread_precedence_policy thread_affinity_policy
    ];
    layouts_agree("hosts.json", &ours);
}

#[test]
fn flavors_counts_and_states_have_the_values_of_the_headers() {
    let ours = constants![
        THREAD_BASIC_INFO THREAD_IDENTIFIER_INFO THREAD_EXTENDED_INFO THREAD_INFO_MAX TH_USAGE_SCALE TH_STATE_RUNNING
        TH_STATE_STOPPED TH_STATE_WAITING TH_STATE_UNINTERRUPTIBLE TH_STATE_HALTED TASK_ABSOLUTETIME_INFO TASK_EVENTS_INFO
        TASK_THREAD_TIMES_INFO TASK_BASIC_INFO_32 TASK_BASIC2_INFO_32 TASK_DYLD_INFO TASK_BASIC_INFO_64_2
        MACH_TASK_BASIC_INFO TASK_VM_INFO TASK_VM_INFO_PURGEABLE TASK_FLAGS_INFO TF_LP64 TF_64B_DATA
        TASK_VM_INFO_REV0_COUNT TASK_VM_INFO_REV1_COUNT TASK_VM_INFO_REV2_COUNT TASK_VM_INFO_REV3_COUNT
        TASK_VM_INFO_REV4_COUNT TASK_VM_INFO_REV5_COUNT TASK_VM_INFO_REV6_COUNT TASK_VM_INFO_REV7_COUNT
    ];
    constants_agree("info.json", ours);
    let ours = constants![
        HOST_BASIC_INFO HOST_SCHED_INFO HOST_RESOURCE_SIZES HOST_PRIORITY_INFO HOST_SEMAPHORE_TRAPS HOST_MACH_MSG_TRAP
        HOST_BASIC_INFO_COUNT HOST_LOAD_INFO HOST_VM_INFO HOST_CPU_LOAD_INFO HOST_VM_INFO64 HOST_LOAD_INFO_COUNT
        HOST_CPU_LOAD_INFO_COUNT HOST_VM_INFO_REV0_COUNT HOST_VM_INFO_REV1_COUNT HOST_VM_INFO_REV2_COUNT
        HOST_VM_INFO64_REV0_COUNT HOST_VM_INFO64_REV1_COUNT CPU_STATE_MAX CPU_STATE_USER CPU_STATE_SYSTEM CPU_STATE_IDLE
        CPU_STATE_NICE CPU_TYPE_X86 CPU_TYPE_X86_64 CPU_TYPE_ARM64 CPU_SUBTYPE_X86_ARCH1 CPU_SUBTYPE_X86_64_H CPU_SUBTYPE_ARM64_V8 CPU_THREADTYPE_NONE
        CPU_THREADTYPE_INTEL_HTT SM_COW SM_PRIVATE SM_EMPTY SM_SHARED SM_TRUESHARED SM_PRIVATE_ALIASED SM_SHARED_ALIASED
        SM_LARGE_PAGE VM_REGION_EXTENDED_INFO VM_REGION_TOP_INFO VM_REGION_EXTENDED_INFO_COUNT VM_REGION_TOP_INFO_COUNT
        VM_REGION_SUBMAP_INFO_V0_COUNT_64 VM_REGION_SUBMAP_INFO_V1_COUNT_64 VM_REGION_SUBMAP_INFO_V2_COUNT_64
        VM_REGION_SUBMAP_SHORT_INFO_COUNT_64 VM_FLAGS_FIXED VM_FLAGS_ANYWHERE VM_FLAGS_RANDOM_ADDR VM_FLAGS_NO_CACHE
        VM_FLAGS_OVERWRITE VM_FLAGS_RETURN_DATA_ADDR VM_FLAGS_RESILIENT_CODESIGN VM_FLAGS_RESILIENT_MEDIA
        VM_FLAGS_PURGABLE VM_FLAGS_4GB_CHUNK VM_FLAGS_PERMANENT THREAD_STANDARD_POLICY THREAD_EXTENDED_POLICY
        THREAD_TIME_CONSTRAINT_POLICY THREAD_PRECEDENCE_POLICY THREAD_AFFINITY_POLICY THREAD_BACKGROUND_POLICY
        THREAD_LATENCY_QOS_POLICY THREAD_THROUGHPUT_QOS_POLICY THREAD_EXTENDED_POLICY_COUNT
        THREAD_TIME_CONSTRAINT_POLICY_COUNT THREAD_PRECEDENCE_POLICY_COUNT THREAD_AFFINITY_POLICY_COUNT
        CLOCK_GET_TIME_RES CLOCK_ALARM_CURRES CLOCK_ALARM_MINRES CLOCK_ALARM_MAXRES TIME_ABSOLUTE TIME_RELATIVE
        SWITCH_OPTION_NONE SWITCH_OPTION_DEPRESS SWITCH_OPTION_WAIT VM_PURGABLE_SET_STATE VM_PURGABLE_GET_STATE
        VM_PURGABLE_PURGE_ALL
    ];
    constants_agree("hosts.json", ours);
}
