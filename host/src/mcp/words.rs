//! Words that are one token to byte-pair encodings, because logs and programs are full of them.
//!
//! Data for `tokens.rs`, and nothing else. A test asks published vocabularies for each of them, as it stands here, with a
//! capital, and with a blank before it.

/// Words that are one token each, in lower case and with a capital.
pub const WORDS: &str = "\
    a about above access active add address after again all already also always an and another any api app \
    application apply are args arguments array as assert async at auth available await back base be because been \
    before begin being below between bin binding block body bool boot both branch break browser buffer bug build \
    built bundle but by byte bytes cache call callback called can cannot case catch cause change changed changes \
    channel char check checks child chunk class clean clear client close closed cluster code collection collections \
    color column command commands commit common compile complete completed component config configuration connect \
    connected connection console const container content context control controller copy core could count create \
    created current data database date day debug default define defined delete description dest detail details dev \
    development device diff dir direct directory disk dispatch dist do does done down download drop during each edit \
    element else email empty enable encoding end endpoint engine entry env environment err error errors event events \
    example exception exceptions exec execute exist exists exit expected export express extension external factory \
    fail failed failure false fatal fetch field fields file files filter find finish finished first fix flag flow \
    following font for format found frame framework from full func function functions future generate generated get \
    given global go got group half handle handler handling has hash have head header headers health heap hello help \
    here hidden high home hook host hot hour how html http icon id if ignore image import in include index info \
    information init inner input insert install instance instead int integration interface internal invalid is issue \
    issues it item items java job join json just keep kernel key keys label language last latest layer layout left \
    len length less level lib library like limit line lines link linux list listen load loaded loader loading local \
    location lock log logger logging logs loop low main make manage management manager manifest map mapping mark \
    master match max may memory message messages method middleware migration min minutes missing mode model models \
    module modules more most move must my name native net network new next no node none not note null number object \
    of off ok old on once one only open operation option optional options or order other out output over own package \
    packages page param parameter params parent parse parser part pass password patch path pending performance \
    permission php pipe plugin point pool port position post prefix present previous print private process processing \
    production profile program progress project promise properties property protocol provider proxy public push put \
    python query queue quit random range rate raw read reader ready really reason receive received recent record ref \
    reference refresh register registry release reload remote remove render replace report request requests require \
    required reset resolve resource response rest restart result results retry return returned right role root route \
    router routes routing row rows rule run running runtime safe same save schema scope script search second seconds \
    section security see select self send sender sequence serve server servers service services session set setting \
    settings setup shared shell should show shutdown side signal since single site size skip so socket some source \
    space spec src stack stage start started starting startup stat state statement static status step still stop \
    storage store stream string structure style sub success support sync syntax system table tag target task tasks \
    temp template test tests text than that the their then there they this thread threads through time timeout times \
    timestamp title to today token too tool top total trace track traffic transaction transform transport tree \
    trigger true try type types unable undefined under unexpected unique unit unknown unsupported until up update \
    updated upgrade upload url usage use used user username users using util utils valid validate validation value \
    values var variable vendor verify version very via view views virtual wait waiting warn warning was watch way we \
    web were what when where which while width will window with within without work worker working workspace wrap \
    wrapper write writing written xml year you your zero";

/// Words that are one token each in capitals; written here in lower case.
pub const WORDS_IN_CAPITALS: &str = "api css debug delete error get head html http id info ip json ok patch post put sql tcp trace url utc utf warning xml";
