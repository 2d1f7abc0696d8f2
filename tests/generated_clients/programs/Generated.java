package javax.annotation;

/** What generated classes say of themselves, which the jar of the generator has not. */
public @interface Generated {
    String[] value();
    String date() default "";
    String comments() default "";
}
