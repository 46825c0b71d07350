//! Words that are one token to byte-pair encodings, because logs and programs are full of them.
//!
//! Data for `tokens.rs`, and nothing else. A test asks published vocabularies for each of them, as it stands here, with a
//! capital, and with a blank before it.

/// Words that are one token each, in lower case and with a capital.
pub const WORDS: &str = "\
    a about above accepted access action active actually add addr address after again alias all allowed already also \
    always an and anonymous another any api app application apply are args arguments array as assert asset assets \
    async at auth auto available await back backend background base be because been before begin being below between \
    big bin bind binding block board body bool boolean boot bootstrap both branch break broken browser buffer bug \
    build built bundle but by byte bytes cache cached call callback called can cannot cargo case catch cause change \
    changed changes channel char character check checks child chunk class classes clean clear cli client clients \
    close closed closing cluster code collection collections color column com command commands commit common compile \
    complete completed component config configuration conn connect connected connection console const container \
    content context control controller controllers copy core could count counter create created css ctrl current \
    cursor data database date day debug def default define defined delete deployment deprecated depth description \
    dest detail details dev development device dict did diff different dir direct directory disk dispatch dist do \
    docs document does done down download drop due duration during dynamic each edit element else email empty enable \
    encoding end endpoint engine ensure enter entry env environment err error errors event events example exc \
    exception exceptions exec execute executor exist exists exit expected export express expression ext extension \
    external factory fail failed failure false fatal fetch field fields file files filter find finish finished first \
    fix flag flow following font for force format found frame frames framework free from full func function functions \
    future generate generated generic get given global go got group half handle handler handling has hash have head \
    header headers health heap hello help here hidden high home hook host hot hour hours how html http icon id if \
    ignore image impl import in include index info information init initial initialize inner input insert install \
    installed instance instead int integer integration interface internal into invalid invoke is issue issues it item \
    items its java javascript job join json just keep kernel key keys kind label lang language last latest layer \
    layout left len length less let level levels lib library like limit line lines link linux list listen literal \
    load loaded loader loading local location lock log logged logger logging login logs long loop lost low lower main \
    make manage management manager manifest many map mapping mark master match max may memory message messages \
    metadata method middleware migration min minutes missing mode model models module modules more most move msg must \
    mutex my name named native need net network never new next nil no node none not note null number obj object \
    objects of off ok old on once one only open operation operations option optional options or order org other out \
    output over override own package packages page pages param parameter params parent parse parser part pass passed \
    password patch path pattern patterns pending per perform performance permission permissions php pipe plugin point \
    pointer pool port position possible post pre prefix present previous primary print private problem process \
    processing production profile program progress project promise properties property protocol prototype provider \
    proxy pub public push put python query queue quit rails raise random range rate raw react read reader reading \
    ready really reason receive received recent record ref reference refresh register registry relative release \
    reload remote remove removed render replace report req request requests require required res reset resolve \
    resolver resource response responses rest restart result results retry return returned returns right role root \
    route router routes routing row rows ruby rule run runner running runtime safe same save schema scope script \
    search second seconds section security see select self send sender sequence serve server servers service services \
    session set setting settings setup share shared shell should show shutdown side signal since single site size \
    skip sleep slow so socket some source space spawn spec sql src stack stage standard start started starting \
    startup stat state statement static status std step still stop storage store str stream string structure style \
    sub success sum super support sync syntax system table tag target task tasks tcp temp template test tests text \
    than that the their them then there these they this thread threads through throw time timeout times timestamp \
    title to today token too tool top total trace track traffic transaction transform transport tree trigger true try \
    txt type types unable undefined under unexpected unique unit unknown unsupported until up update updated upgrade \
    upload url usage use used user username users using util utils valid validate validation validators value values \
    var variable variables vendor verify version very via view views virtual wait waiting warn warning was watch way \
    we web were what when where which while width will window with within without words work worker working workspace \
    wrap wrapped wrapper write writing written wrong xml year you your zero";

/// Words that are one token each in capitals; written here in lower case.
pub const WORDS_IN_CAPITALS: &str = "api css debug delete error get head html http id info ip json ok patch post put sql tcp trace url utc utf warning xml";
