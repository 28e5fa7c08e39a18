"""Pairs of tasks that embeddings take for the same: those that ask for something else, and those that do not."""

__all__ = ["DIFFERENT", "NOT_FOUND", "REWORDED", "long_pairs"]


def _pairs(text: str) -> list[tuple[str, str]]:
    return [(one.strip(), two.strip()) for one, two in (line.split(" | ") for line in text.strip().splitlines())]


#: By what makes them differ.
DIFFERENT = {
    "negation": _pairs("""
List the drugs that are safe in pregnancy. | List the drugs that are not safe in pregnancy.
Which suppliers met the deadline? | Which suppliers didn't meet the deadline?
Which tests have passed? | Which tests have never passed?
Describe a diet with gluten. | Describe a diet without gluten.
Name the rivers that cross a border. | Name the rivers that do not cross a border.
Summarise what is covered by the policy. | Summarise what is not covered by the policy.
Explain why the merger is legal. | Explain why the merger isn't legal.
Which of the claims can be proven? | Which of the claims cannot be proven?
List all employees who were paid. | List all employees who were unpaid.
Count the rows with an error. | Count the rows with no error.
Explain how to enable the cache. | Explain how to disable the cache.
Which countries are members of the union? | Which countries are non-members of the union?
Name everyone who agreed. | Name everyone except who agreed.
Is the bridge open? | Is the bridge not open?
"""),
    "roles": _pairs("""
Why did the bank sue the tenant? | Why did the tenant sue the bank?
What does Anna owe Bernd? | What does Bernd owe Anna?
How do wolves affect elk? | How do elk affect wolves?
Convert euros to dollars. | Convert dollars to euros.
Translate the letter from French into German. | Translate the letter from German into French.
Which flights go from Oslo to Rome? | Which flights go from Rome to Oslo?
Who taught Aristotle? | Whom did Aristotle teach?
Subtract the costs from the income. | Subtract the income from the costs.
How does poverty cause crime? | How does crime cause poverty?
Is Jupiter larger than Saturn? | Is Saturn larger than Jupiter?
Explain how the server authenticates the client. | Explain how the client authenticates the server.
Did the firm acquire its rival? | Did its rival acquire the firm?
What does the teacher's student need? | What does the student's teacher need?
Which film is the remake of the series? | Which series is the remake of the film?
Which trains leave from Graz and go to Wien? | Which trains leave to Graz and go from Wien?
"""),
    "units": _pairs("""
How long is a walk of five miles? | How long is a walk of five kilometres?
Convert 30 degrees Celsius to kelvin. | Convert 30 degrees Fahrenheit to kelvin.
What is the output of the plant in MW? | What is the output of the plant in mW?
Give the size of the file in MB. | Give the size of the file in Mb.
What does it cost in dollars? | What does it cost in euros?
How many grams of salt are in it? | How many milligrams of salt are in it?
Report the growth in percent. | Report the growth in percentage points.
How much rain falls in a month? | How much rain falls in a year?
State the speed in knots. | State the speed in km/h.
What is the dose per day? | What is the dose per week?
Compute the delay in ms. | Compute the delay in s.
Give the pressure in bar. | Give the pressure in psi.
"""),
    "names": _pairs("""
Who is the mayor of Paris, France? | Who is the mayor of Paris, Texas?
What is the population of Austria? | What is the population of Australia?
Summarise the work of John Adams. | Summarise the work of John Quincy Adams.
When was Pope John Paul II born? | When was Pope John Paul I born?
What is the capital of Slovakia? | What is the capital of Slovenia?
Describe the Polish translation. | Describe the polish translation.
How do you roast a turkey? | How do you roast a Turkey?
Explain Java's type system. | Explain JavaScript's type system.
What did Marie Curie discover? | What did Pierre Curie discover?
How large is Guinea? | How large is Guinea-Bissau?
How high is Mount Baker? | How high is Mount Hood?
Which river flows through Frankfurt am Main? | Which river flows through Frankfurt an der Oder?
What happened in Georgia in May? | What happened in Georgia in June?
List products of Windows. | List products of windows.
"""),
    "number words": _pairs("""
Name three causes of the war. | Name four causes of the war.
Summarise the report in one sentence. | Summarise the report in two sentences.
Describe the second world war. | Describe the first world war.
Which team finished third? | Which team finished fourth?
What is half of the sum? | What is double the sum?
List a dozen birds of Europe. | List a hundred birds of Europe.
How did prices move in the last two years? | How did prices move in the last ten years?
What did she write in her twenties? | What did she write in her thirties?
Name twenty trees. | Name twelve trees.
How long do both batteries last? | How long do all three batteries last?
Find a car for a family of five. | Find a car for a family of 6.
What is a third of the budget? | What is a quarter of the budget?
"""),
    "figures": _pairs("""
What is the rainfall of 2023? | What is the rainfall of 2024?
Solve 2 + 3. | Solve 3 + 2.
Add -5 to it. | Add 5 to it.
What changed in version 1.5? | What changed in version 15?
Which is the atomic weight of carbon-12? | Which is the atomic weight of carbon-14?
Round it to 1,000. | Round it to 1.000.
Is section 4(2) violated? | Is section 42 violated?
What happened on 03/04/2021? | What happened on 04/03/2021?
"""),
    "signs": _pairs("""
What is C++ used for? | What is C used for?
What is C# used for? | What is C used for?
When is a < b? | When is a > b?
Compute x * y. | Compute x / y.
Compute x ^ 2. | Compute x _ 2.
Is p & q true? | Is p ∨ q true?
What is the price in $? | What is the price in €?
Is x = y? | Is x ≠ y?
Explain the regular expression a+. | Explain the regular expression a*.
Explain the regular expression a? here. | Explain the regular expression a here.
Compute (a + b) * c. | Compute a + b * c.
What does the flag -v do? | What does the flag --v do?
Explain i++ in the loop. | Explain ++i in the loop.
What does the shell make of ~? | What does the shell make of #?
Describe a man eating shark. | Describe a man-eating shark.
Draw the chord C. | Draw the chord C♯.
"""),
    "opposites": _pairs("""
List the advantages of nuclear power. | List the disadvantages of nuclear power.
Why did the shares rise? | Why did the shares fall?
What is the minimum wage in Spain? | What is the maximum wage in Spain?
Which city is the largest? | Which city is the smallest?
How do I increase the contrast? | How do I decrease the contrast?
Name the strengths of the proposal. | Name the weaknesses of the proposal.
Who won the final? | Who lost the final?
Argue for the new road. | Argue against the new road.
What do imports depend on? | What do exports depend on?
Describe the symptoms of hypothermia. | Describe the symptoms of hyperthermia.
Sort the list in ascending order. | Sort the list in descending order.
How do I encrypt the disk? | How do I decrypt the disk?
Which side is on the left? | Which side is on the right?
"""),
    "time and place": _pairs("""
Who is the president of the club? | Who was the president of the club?
What happened before the election? | What happened after the election?
Which shops open on Sunday? | Which shops open on Monday?
What grows above the tree line? | What grows below the tree line?
How was the weather in the morning? | How was the weather in the evening?
Which rules apply inside the zone? | Which rules apply outside the zone?
What will the fee be? | What was the fee?
Which laws applied until 1990? | Which laws applied since 1990?
"""),
    "scope": _pairs("""
Which users have all permissions? | Which users have some permissions?
Name a president of France. | Name the president of France.
Name the author of the study. | Name the authors of the study.
Is every prime odd? | Is any prime odd?
Which shops sell only bread? | Which shops sell bread?
Must the form be signed? | May the form be signed?
How many people came? | How much people came?
What do most critics say? | What do few critics say?
Would you recommend this drug? | Recommend this drug.
Give the users access. | Show the users access.
Name the primary schools. | Name the main schools.
"""),
}

#: The same, put in other words.
REWORDED = _pairs("""
What is the capital of France? | What's the capital of France?
Summarise the quarterly report. | Please summarize the quarterly report.
List three causes of the French Revolution. | Please list 3 causes of the French Revolution.
How do vaccines work? | Explain how vaccines work.
Tell me the population of Norway. | What is the population of Norway?
Give me a summary of the minutes. | Summarise the minutes.
Which colour is the flag? | What color is the flag?
Why is the sky blue? | Can you explain why the sky is blue?
What are the project's risks? | What are the risks of the project?
In 2020, who led the team? | Who led the team in 2020?
Translate the abstract into German. | Could you please translate the abstract to German?
Describe the plot of the film. | Describe the plot of the movie.
Who wrote the novel Emma? | Who wrote the novel Emma
Where can I buy a ticket? | Where can I purchase a ticket?
Explain the results of the study, please. | Explain the results of the study.
I would like to know how tall the tower is. | How tall the tower is
What isn't covered by the warranty? | What is not covered by the warranty?
Compare the two offers. | please compare the 2 offers
What are the main benefits of exercise? | What are the primary benefits of exercise?
Name five rivers of Asia. | List five rivers of Asia.
Provide an example of recursion. | Give an example of recursion.
""")
#: Said so differently that only a person, or a model, would know: these are asked again.
NOT_FOUND = _pairs("""
How tall is Mont Blanc? | What is the height of Mont Blanc?
Describe the causes of the crisis. | What caused the crisis?
Which drinks are best for a cold? | What should one drink with a cold?
""")


def long_pairs() -> list[tuple[str, str]]:
    """Tasks that differ only behind what an embedding reads of them."""
    text = "The station records the level of the river and the rain of the day before. " * 20
    ends = [
        ("List the floods.", "List the droughts."),
        ("Name the highest level.", "Name the lowest level."),
        ("Write it in French.", "Write it in Dutch."),
        ("Use two sentences.", "Use three sentences."),
        ("Include the dates.", "Do not include the dates."),
        ("Who kept the record?", "Who broke the record?"),
        ("Give it in metres.", "Give it in feet."),
        ("Be brief.", "Be thorough."),
    ]
    return [(text + one, text + two) for one, two in ends]
