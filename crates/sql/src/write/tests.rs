use datafusion::sql::sqlparser::keywords::ALL_KEYWORDS;

use super::*;
use crate::test_support::plan;

/// Would fail if a name needed back-ticks and had none: any word may be a column's name.
#[test]
fn every_key_word_can_be_a_name() {
    let others = ["user name", "1st", "a`b", "ärger", "id", "x.y"];
    for word in
        ALL_KEYWORDS.iter().map(|word| word.to_ascii_lowercase()).chain(others.map(Into::into))
    {
        let written = name(&word);
        let script = format!(
            "DROP TABLE IF EXISTS {written};
             CREATE TABLE {written} ({written} BIGINT, r ROW<`c``d` INT, {written} DATE>)
             WITH ('connector'='append'); SELECT {written}, r FROM {written}"
        );
        let planned = plan(&script).unwrap_or_else(|error| panic!("{script}: {error}"));
        assert!(planned.plan.is_some());
    }
    assert_eq!(name("user_name"), "user_name");
    assert_eq!(name("time"), "`time`");
}
