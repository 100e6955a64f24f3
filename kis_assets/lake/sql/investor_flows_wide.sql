-- Net purchases of each investor group, one row per stock and day. The volumes of the four groups
-- sum to zero, and so do the values, except for rounding to the million.
--
-- trading_day, stock_code: as in investor_flows
-- individual_net_volume: Shares that individuals bought minus shares they sold (개인) [shares]
-- individual_net_value: The same in value [KRW]
-- foreign_net_volume: Shares of foreigners, registered or not (외국인) [shares]
-- foreign_net_value: The same in value [KRW]
-- institution_net_volume: Shares of securities firms, investment trusts, private funds, banks,
--     insurers, merchant banks and pensions (기관) [shares]
-- institution_net_value: The same in value [KRW]
-- other_net_volume: Shares of other institutions and corporations (기타) [shares]
-- other_net_value: The same in value [KRW]

SELECT
    trading_day,
    stock_code,
    coalesce(sum(net_volume) FILTER (who = 'individual'), 0)::BIGINT AS individual_net_volume,
    coalesce(sum(net_value) FILTER (who = 'individual'), 0)::BIGINT AS individual_net_value,
    coalesce(sum(net_volume) FILTER (who = 'foreign'), 0)::BIGINT AS foreign_net_volume,
    coalesce(sum(net_value) FILTER (who = 'foreign'), 0)::BIGINT AS foreign_net_value,
    coalesce(sum(net_volume) FILTER (who = 'institution'), 0)::BIGINT AS institution_net_volume,
    coalesce(sum(net_value) FILTER (who = 'institution'), 0)::BIGINT AS institution_net_value,
    coalesce(sum(net_volume) FILTER (who = 'other'), 0)::BIGINT AS other_net_volume,
    coalesce(sum(net_value) FILTER (who = 'other'), 0)::BIGINT AS other_net_value
FROM (
    SELECT
        *,
        CASE
            WHEN investor = 'individual' THEN 'individual'
            WHEN starts_with(investor, 'foreign_') THEN 'foreign'
            WHEN starts_with(investor, 'other_') THEN 'other'
            ELSE 'institution'
        END AS who
    FROM investor_flows
)
GROUP BY trading_day, stock_code
