//! The operators, one file each. None knows timely.
