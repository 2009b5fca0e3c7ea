//! Rows in the text format of COPY, on their way from a remote server to the spool: prefixed, cut and filtered.

mod column_cutter;
pub(crate) mod copy_text;
pub(crate) mod incoming;
pub(crate) mod long_rows;
pub(crate) mod row_filter;
