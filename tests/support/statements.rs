//! Statements that a remote server reports, as a test needs them.

use postgres::Client;

use super::replacing;

/// Stands for `powa_statements_src`: each row of a table is a statement.
pub(crate) struct Statements {
    client: Client,
}

impl Statements {
    pub(crate) fn of(mut client: Client) -> Self {
        client.batch_execute("create table public.said (queryid bigint, query text)").unwrap();
        // The columns differ between the versions of PoWA.
        let columns = "select name, type::regtype::text
            from pg_proc, unnest(proargnames, proallargtypes, proargmodes) as argument (name, type, mode)
            where proname = 'powa_statements_src' and mode = 'o' and name <> all ('{queryid, query}')";
        let columns = client.query(columns, &[]).unwrap();
        let values = columns.iter().map(|column| match (column.get(0), column.get(1)) {
            ("ts", _) => "ts := now();".to_owned(),
            ("userid", _) => "userid := 10;".to_owned(),
            ("dbid", _) => "select d.oid into dbid from pg_database d where d.datname = current_database();".to_owned(),
            (name, "boolean") => format!("{name} := true;"),
            (name, _) => format!("{name} := 1;"),
        });
        let values: String = values.collect();
        let rows = "for queryid, query in select said.queryid, said.query from public.said loop return next; end loop;";
        client.batch_execute(&replacing("powa_statements_src", &format!("{values} {rows}"))).unwrap();
        Self { client }
    }

    /// A statement more.
    pub(crate) fn say(&mut self, queryid: i64, text: &str) {
        self.client.execute("insert into public.said values ($1, $2)", &[&queryid, &text]).unwrap();
    }

    /// No statement any more.
    pub(crate) fn say_nothing(&mut self) {
        self.client.batch_execute("truncate public.said").unwrap();
    }

    /// One of bytes, which a database in SQL_ASCII takes as they are.
    pub(crate) fn say_bytes(&mut self, queryid: i64, text: &[u8]) {
        let sql = "insert into public.said values ($1, convert_from($2, 'SQL_ASCII'))";
        self.client.execute(sql, &[&queryid, &text]).unwrap();
    }

    /// Many, of a length in kB each.
    pub(crate) fn say_much(&mut self, statements: i32, kilobytes: i32) {
        let sql = "insert into public.said select n, repeat(md5(n::text), 32 * $2) from generate_series(1, $1) n";
        self.client.execute(sql, &[&statements, &kilobytes]).unwrap();
    }
}
