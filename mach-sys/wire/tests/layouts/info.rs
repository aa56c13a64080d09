//! Results of `thread_info` and `task_info`: their layouts and constants as a C compiler reads Apple's headers.

use super::{facts, members, number};
use mach_wire::info::*;
use mach_wire::pod::Pod;

macro_rules! layouts {
    ($($name:ident)*) => { vec![$((stringify!($name), $name::LAYOUT)),*] };
}

macro_rules! constants {
    ($($name:ident)*) => { vec![$((stringify!($name), $name as usize)),*] };
}

#[test]
fn what_threads_and_tasks_tell_has_the_layouts_of_the_headers() {
    let ours = layouts![
        thread_basic_info thread_identifier_info thread_extended_info task_absolutetime_info task_events_info
        task_basic_info_32 task_basic_info_64 task_thread_times_info mach_task_basic_info task_flags_info task_vm_info
    ];
    let facts = facts("info.json");
    assert_eq!(members(&facts["structures"]).count(), ours.len());
    for (name, fact) in members(&facts["structures"]) {
        let layout = ours.iter().find(|(ours, _)| ours == name);
        let layout = layout.unwrap_or_else(|| panic!("no {name}")).1;
        assert_eq!(layout.size, number(&fact["size"]), "{name}");
        assert_eq!(layout.align, number(&fact["align"]), "{name}");
        let fields = layout.fields.iter().map(|field| (field.name, field.offset));
        let wanted = members(&fact["fields"]).map(|(name, at)| (name.as_str(), number(at)));
        let (mut fields, mut wanted) = (fields.collect::<Vec<_>>(), wanted.collect::<Vec<_>>());
        fields.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(fields, wanted, "{name}");
    }
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
    let facts = facts("info.json");
    let mut wanted: Vec<_> = members(&facts["constants"])
        .map(|(name, value)| (name.as_str(), number(value)))
        .collect();
    let mut ours = ours;
    ours.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(ours, wanted);
}
