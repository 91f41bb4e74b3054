"""What the demo world is made of: names, departments, applications, places. Data only; all invented."""

from __future__ import annotations

# First name, last name, username. Northwind takes the first 60, Blue Yonder the next 25, the rest is
# the third organization's.
PEOPLE = [
    tuple(line.split("|"))
    for line in """
Amara|Okafor|amara.okafor
Zoë|Müller|zoe.mueller
Siobhán|O'Brien|siobhan.obrien
健太|田中|kenta.tanaka
ليلى|حداد|layla.haddad
Łukasz|Wójcik|lukasz.wojcik
Priya|Raghunathan|priya.r
Mateus|Conceição|mateus.conceicao
Ingrid|Sørensen|ingrid.sorensen
Jean-Luc|D'Arcy|jl.darcy
小龙|李|xiaolong.li
Nokuthula|Mthembu|nokuthula.m
Björk|Guðmundsdóttir|bjork.g
Oleksandra|Шевченко|oleksandra.s
Dwayne|St. John|dwayne.stjohn
María José|Muñoz de la Vega|mj.munoz
유나|박|yuna.park
Tariq|Al-Rashid|tariq.alrashid
Beatrix|van den Heuvel|beatrix.vdh
Nguyễn|Thị Hoa|hoa.nguyen
Callum|Fraser|callum.fraser
Esperança|Duarte|esperanca.duarte
Rohan|Mehta|rohan.mehta
Eilidh|MacLeod|eilidh.macleod
דנה|כהן|dana.cohen
Kwabena|Asante|kwabena.asante
Renée|Lefèvre|renee.lefevre
Stjepan|Đorđević|stjepan.d
Leilani|Kahananui|leilani.k
Mikkel|Ågård|mikkel.agard
Farah|Siddiqui|farah.siddiqui
Tomáš|Dvořák|tomas.dvorak
Grace|Adeyemi|grace.adeyemi
Hannah|Whitfield|hannah.whitfield
İbrahim|Gökçe|ibrahim.gokce
Sofía|Herrera|sofia.herrera
Anders|Lindqvist|anders.lindqvist
Wanjiru|Kamau|wanjiru.kamau
Péter|Szabó|peter.szabo
Chloé|Bouchard|chloe.bouchard
Devon|O'Connell-Reyes|devon.ocr
美咲|佐藤|misaki.sato
Giulia|Ferrari|giulia.ferrari
Rasmus|Tamm|rasmus.tamm
Aroha|Ngata|aroha.ngata
Yusuf|Demir|yusuf.demir
Katarzyna|Zielińska|kasia.z
Owen|Pritchard|owen.pritchard
Ana|Popović|ana.popovic
Miguel|Ángel Ríos|miguel.rios
Thandiwe|Dube|thandiwe.dube
Elif|Kaya|elif.kaya
Bruno|Carvalho|bruno.carvalho
Soo-jin|Lim|soojin.lim
Freya|Nyström|freya.nystrom
Hamza|El Idrissi|hamza.elidrissi
Teuila|Faleolo|teuila.faleolo
Ruth|Abramowitz|ruth.abramowitz
Marek|Novák|marek.novak
Isla|Campbell|isla.campbell
Captain|Rojas|v.rojas
Emeka|Nwosu|emeka.nwosu
Astrid|Halvorsen|astrid.h
Noor|Jansen|noor.jansen
Dimitris|Παπαδόπουλος|dimitris.p
Saoirse|Kelly|saoirse.kelly
Raj|Patel|raj.patel
Lucía|Ibáñez|lucia.ibanez
Pelé|Nascimento|pele.n
Aiko|Fujimoto|aiko.fujimoto
Gwen|Ap Rhys|gwen.aprhys
Omar|Benali|omar.benali
Jolanta|Kazlauskienė|jolanta.k
Viktor|Horváth|viktor.horvath
Maya|Goldberg|maya.goldberg
Kofi|Boateng|kofi.boateng
Lena|Hofstätter|lena.h
Arjun|Iyer|arjun.iyer
Nadia|Kowalczyk|nadia.k
Sam|Taylor|sam.taylor
Inés|Cabrera|ines.cabrera
Tevita|Fifita|tevita.f
Mei-Ling|Chen|meiling.chen
Pádraig|Ó Súilleabháin|padraig.os
Selin|Öztürk|selin.ozturk
Marta|Nilsson|marta.nilsson
Julián|Vega|julian.vega
Akira|Watanabe|akira.w
Florence|Mbeki|florence.mbeki
Dmitri|Volkov|dmitri.volkov
Rosa|Benedetti|rosa.b
Hugo|Lambert|hugo.lambert
Nia|Williams|nia.williams
Erik|Sjöberg|erik.sjoberg
Zainab|Hussein|zainab.hussein
Paolo|Conti|paolo.conti
Mina|Rezaei|mina.rezaei
""".strip().splitlines()
]

DEPARTMENTS = {
    "Engineering": ["Software Engineer", "Staff Engineer", "SRE", 'Engineer "Platform" \\ Infra'],
    "Sales": ["Account Executive", "Sales Manager", "VP, Sales & Partnerships"],
    "Finance": ["Accountant", "Controller", "Treasury Analyst"],
    "People": ["Recruiter", "HR Business Partner"],
    "IT": ["IT Support", "Systems Administrator", "Head of IT"],
    "Logistics": ["Warehouse Lead", "Fleet Planner", "Customs Agent"],
}

# Slug, catalog name, what the administrator calls it, SSO type. The repeated slug is meant: one
# connector can be set up more than once.
APPLICATIONS = [
    ("google", "Google Workspace", "Google Workspace", "saml"),
    ("slack", "Slack", "Slack", "saml"),
    ("github", "GitHub Enterprise", "GitHub", "saml"),
    ("salesforce", "Salesforce", "Salesforce", "saml"),
    ("aws-sso", "AWS IAM Identity Center", "AWS (production)", "saml"),
    ("aws-sso", "AWS IAM Identity Center", "AWS (sandbox)", "saml"),
    ("zoom", "Zoom", "Zoom", "saml"),
    ("atlassian", "Atlassian Cloud", "Jira & Confluence", "saml"),
    ("netsuite", "NetSuite", None, "saml"),
    ("notion", "Notion", "Notion 📝", "saml"),
    ("custom-oidc", "Custom OIDC App", 'Warehouse "Falcon" portal', "oidc"),
    ("datadog", "Datadog", "Datadog", "saml"),
    ("figma", "Figma", "Figma (retired)", "saml"),
    ("bookmark", "Bookmark", "Canteen menu", "bookmark"),
]

# geoip as events carry it.
PLACES = [
    ("US", "America/Denver", "NA", "Colorado", "CO", 39.7388, -104.9868),
    ("US", "America/New_York", "NA", "Massachusetts", "MA", 42.3364, -71.0326),
    ("FR", "Europe/Paris", "EU", "Paris", "75", 48.8323, 2.4075),
    ("IE", "Europe/Dublin", "EU", "Leinster", "L", 53.3379, -6.2591),
    ("JP", "Asia/Tokyo", "AS", "Tokyo", "13", 35.6895, 139.6917),
]

# Browser, system, its major and minor version, the browser's version.
BROWSERS = [
    ("Chrome", "Mac OS X", "10", "15", "143"),
    ("Firefox", "Windows", "11", "0", "143"),
    ("Safari", "iOS", "26", "1", "26"),
]

ROLES = {
    "Administrator With Billing": "Everything, billing and administrators included",
    "Administrator": "Everything but billing and administrators",
    "Manager": "Users, groups and devices",
    "Help Desk": "Unlocks and resets",
    "Read Only": "Sees everything, changes nothing",
    "Onboarding Crew": "A custom role: creates and activates users",
}
