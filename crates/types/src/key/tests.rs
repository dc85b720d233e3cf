use super::*;

/// Would fail if a key group had no owner, two owners, or another owner than its range says.
#[test]
fn every_group_has_one_owner() {
    for count in [1, 2, 7, 128, 1024] {
        for workers in 1..=usize::from(count).min(9) {
            let groups = KeyGroups { count, workers };
            for group in (0..count).map(KeyGroup) {
                let owners: Vec<usize> = (0..workers)
                    .filter(|worker| groups.owned_by(WorkerId(*worker)).contains(group))
                    .collect();
                assert_eq!(owners, [groups.owner(group).0], "{count} groups, {workers} workers");
            }
        }
    }
}

/// Would fail if the ends of the hash range fell outside the groups.
#[test]
fn hashes_fall_into_groups() {
    let groups = KeyGroups { count: 1024, workers: 3 };
    assert_eq!(groups.group_of(0), KeyGroup(0));
    assert_eq!(groups.group_of(u64::MAX), KeyGroup(1023));
}
