create table customer (
    id integer primary key,
    name text not null,
    region text not null,
    balance bigint not null default 0
);

insert into customer (id, name, region)
select n, 'customer ' || n, (array['north', 'east', 'south', 'west'])[n % 4 + 1]
  from generate_series(1, 500) n;

create table purchase (
    id bigint generated always as identity primary key,
    customer_id integer not null references customer,
    amount integer not null
);

insert into purchase (customer_id, amount)
select n % 500 + 1, n % 100
  from generate_series(1, 5000) n;

create index purchase_customer_id on purchase (customer_id);

create function turnover(customer integer) returns bigint
language plpgsql stable as $$
begin
    return (select sum(amount) from purchase where customer_id = customer);
end
$$;

analyze customer, purchase;
