//! Records what a load does, with triggers. Rows that fill a list that could not be read are not copied, and left out.

use lab::Registration;

use super::Scene;

/// Keeps a list of the tables that rows are loaded into.
pub(crate) struct Loads<'a> {
    pub scene: &'a Scene<'a>,
    pub server: i32,
}

impl<'a> Loads<'a> {
    /// Of a server that is not registered yet.
    pub(crate) fn listed(scene: &'a Scene<'a>, registration: Registration) -> Self {
        let list = "create table public.loaded (n serial, load bigint default txid_current(), name text);
            create function public.list() returns trigger language plpgsql as $$ begin
                if exists (select from new) and current_query() like 'copy %' then insert into public.loaded (name) values (tg_table_name); end if;
                return null;
            end $$;
            do $$ declare target regclass; begin
                for target in select oid from pg_class where relname like '%\\_src\\_tmp' and relkind = 'r' loop
                    execute format('create trigger list after insert on %s referencing new table as new
                        execute function public.list()', target);
                end loop;
            end $$";
        scene.repository().batch_execute(list).unwrap();
        Self { scene, server: scene.register_as(registration) }
    }

    /// What the last load was made of, in that order, and its errors.
    pub(crate) fn last(&self) -> (Vec<String>, Vec<String>) {
        // In one statement, as there may be another one at any time.
        let sql = "select array(select name from public.loaded where load = (select max(load) from public.loaded)
            order by n), errors from powa_snapshot_metas where srvid = $1";
        let row = self.scene.repository().query_one(sql, &[&self.server]).unwrap();
        (row.get(0), row.get::<_, Option<_>>(1).unwrap_or_default())
    }
}
